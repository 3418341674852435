//! Why the arbiter turns down what people ask.

/// Why nothing came of what a person asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing of that kind is in force.
    NothingInForce,
    /// It would have ended already.
    AlreadyExpired,
    /// An appeal against it waits already.
    AppealedAlready,
    /// The supplier appealed as often in a day as it may.
    TooManyAppeals,
    /// No such review is open.
    NoSuchReview,
    /// Nothing waits that this person may be given.
    NothingToReview,
    /// Somebody else is at it.
    ClaimedByAnother,
    /// The judge of an appeal would be a party to it.
    OwnDecision,
    /// A person withholds all of the supplier, which an allow does not lift.
    DeniedByAPerson,
    /// Something else is in force than whoever asks has seen.
    DecidedSince,
    /// Who gives a review back does not have it.
    NotClaimed,
    /// Nobody confirmed what is to be reopened.
    NotConfirmed,
    /// Somebody else confirmed it.
    ConfirmedByAnother,
}

impl Refusal {
    /// The stable code in answers.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NothingInForce => "nothing_in_force",
            Self::AlreadyExpired => "already_expired",
            Self::AppealedAlready => "appealed_already",
            Self::TooManyAppeals => "too_many_appeals",
            Self::NoSuchReview => "no_such_review",
            Self::NothingToReview => "nothing_to_review",
            Self::ClaimedByAnother => "claimed_by_another",
            Self::OwnDecision => "own_decision",
            Self::DeniedByAPerson => "denied_by_a_person",
            Self::DecidedSince => "decided_since",
            Self::NotClaimed => "not_claimed",
            Self::NotConfirmed => "not_confirmed",
            Self::ConfirmedByAnother => "confirmed_by_another",
        }
    }

    /// What it means, and what to do.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NothingInForce => "nothing of that kind is in force",
            Self::AlreadyExpired => "it would have expired already; choose a later expires_at",
            Self::AppealedAlready => "an appeal against it waits for its answer already",
            Self::TooManyAppeals => {
                "as many appeals of this supplier were opened within a day as are taken; wait for their answers"
            }
            Self::NoSuchReview => "no review of that id is open; it may have been settled",
            Self::NothingToReview => "nothing waits that nobody has claimed and that you may judge",
            Self::ClaimedByAnother => "somebody else is at it; their claim ends after 15 minutes",
            Self::OwnDecision => {
                "an appeal is judged by somebody else than who wrote it, or made or confirmed the decision"
            }
            Self::DeniedByAPerson => {
                "a person denied all of this supplier, which an allow does not lift; take that back first with \
                 DELETE /v1/overrides/{supplier}"
            }
            Self::DecidedSince => {
                "something else is in force than you have seen, so nothing was changed; read /v1/decisions?supplier=… and decide anew"
            }
            Self::NotClaimed => "you do not have that review, so there is nothing to give back",
            Self::NotConfirmed => "nobody confirmed it, so there is nothing to take back",
            Self::ConfirmedByAnother => {
                "a confirmation is taken back by whoever gave it; release the restriction if you find it wrong"
            }
        }
    }
}
