// Written by types.mjs from schemas/openapi.json; change nothing here.

/** What a decision did. */
export type Action = "imposed" | "raised" | "released" | "expired" | "extended" | "allowed" | "allow_ended" | "confirmed" | "reopened" | "unlinked" | "cured" | "snoozed" | "appealed" | "appeal_rejected" | "over_budget" | "dismissed" | "lowered"

export type Appeal = {
  answer?: string | null
  answered_at?: Timestamp | null
  appealed_at: Timestamp
  decision: string | null
  /** By when it should be answered, while it is open. */
  due_at?: Timestamp | null
  outcome: AppealOutcome
  text: string | null
}

export type AppealOpened = {
  appeal: string
  due_at: Timestamp
  opened_at: Timestamp
}

/** What became of an appeal. */
export type AppealOutcome = "open" | "granted" | "rejected" | "ended"

export type Appeals = {
  appeals: Array<Appeal>
  supplier: SupplierId
}

/** How a file is packed. */
export type Archive = "plain" | "gzip" | "zip"

/** Why an attempt failed: stable names, for metrics and for who reads the list of deliveries. */
export type AttemptFailure = "name" | "inward_address" | "connect" | "tls" | "timeout" | "closed" | "redirect" | "status" | "unsent"

/** An attribute of a supplier: never the thing itself, only a salted hash of it that its sender made. */
export type Attribute = {
  /** Lower-case hex of a salted hash, 32 to 64 digits. */
  hash: string
  /** What it is. */
  kind: AttributeKind
}

/** What two suppliers may share. */
export type AttributeKind = "payout" | "device" | "address" | "tax_id"

/** How far a verification is, or what it found. */
export type Audit = {
  /** When it began; null when it never did. */
  began_at: Timestamp | null
  /** Decisions that were found linked. */
  decisions: number
  /** What is wrong and where; null while nothing is. */
  detail: string | null
  /** Where the log ended when it began. */
  end: number
  /** When it ended; null until it has. */
  ended_at: Timestamp | null
  /** Everything before this offset of `lockout.decisions` was looked at. */
  offset: number
  state: Finding2
}

/** What is available of one good. */
export type Availability = {
  /** Up to when everything is in the answer. */
  as_of: Timestamp
  completeness: Completeness
  /** The cursor of the next page; null on the last. */
  next: string | null
  offers: Array<SeenOffer>
  /** How far behind the clock that is. */
  staleness_ms: number
}

/** What is available of one good among several. */
export type AvailabilityOfGood = {
  /** As GTIN-14 where it was asked for so; else null. */
  gtin: string | null
  /** Whether there are more than the limit. */
  more: boolean
  offers: Array<SeenOffer>
  /** As it was asked for; null where it was by GTIN. */
  sku: Sku | null
}

/** What is available of several goods. */
export type AvailabilityOfGoods = {
  /** Up to when everything is in the answer. */
  as_of: Timestamp
  completeness: Completeness
  /** In the order in which they were asked for. */
  results: Array<AvailabilityOfGood>
  /** How far behind the clock that is. */
  staleness_ms: number
}

export type AvailabilityQuery = {
  /** Wait until this replica shows that write. */
  after_position?: string | null
  /** ISO 4217 code. Without one, answers are grouped by currency. */
  currency?: Currency | null
  /** `next` of the page before; only with the same question. */
  cursor?: string | null
  /** The good by its GTIN, whatever SKU it has; this or `sku`. */
  gtin?: string | null
  /** Offers in the answer, of each good; 50 when nobody says. */
  limit?: number | null
  /** Days until hand-over. */
  max_lead_days?: number | null
  /** In minor units; needs `currency`. */
  max_price?: number | null
  /** Only offers of so many units; 1 when nobody says. */
  min_qty?: number | null
  /** Latitude and longitude in degrees, by a comma; needs `radius_km`. */
  near?: string | null
  /** Needs `near`. */
  radius_km?: number | null
  /** Only what may be sent there; withheld offers of other regions do not count. */
  region?: Region | null
  /** The good; this or `gtin`. */
  sku?: Sku | null
  /** `price` when nobody says; `distance` needs `near`. */
  sort?: Sort | null
}

export type AvailabilityQuestion = {
  /** Wait until this replica shows that write. */
  after_position?: string | null
  /** ISO 4217 code. Without one, answers are grouped by currency. */
  currency?: Currency | null
  /** What is asked for. */
  goods: Array<Good>
  /** Offers in the answer, of each good; 50 when nobody says. */
  limit?: number | null
  /** Days until hand-over. */
  max_lead_days?: number | null
  /** In minor units; needs `currency`. */
  max_price?: number | null
  /** Only offers of so many units, of each good that does not say its own; 1 when nobody says. */
  min_qty?: number | null
  /** Latitude and longitude in degrees, by a comma; needs `radius_km`. */
  near?: string | null
  /** Needs `near`. */
  radius_km?: number | null
  /** Only what may be sent there; withheld offers of other regions do not count. */
  region?: Region | null
  /** `price` when nobody says; `distance` needs `near`. */
  sort?: Sort | null
}

/** A backtest, with its report once it is there. */
export type Backtest = {
  actor: string
  /** Why it failed. */
  error: string | null
  job: string
  records: number
  records_done: number
  report: BacktestReport | null
  state: BacktestState
}

export type BacktestAsked = {
  days?: number
  source?: string
}

/** What a set of rules would have done. */
export type BacktestReport = {
  /** Of the withheld, those of whom people found that they were honest. */
  honest_withheld: number
  rules: Array<RuleBacktest>
  seconds: number
  since: Timestamp
  /** Vectors of other features, which say nothing here. */
  skipped: number
  snapshots: number
  snapshots_per_second: number
  /** The topic that was read. */
  source: string
  suppliers: number
  version: string
  withheld: number
  withheld_by_both: number
  withheld_by_rules_in_force: number
}

/** How far a backtest is. */
export type BacktestState = "running" | "cancelling" | "done" | "cancelled" | "failed"

/** A basket as its owner, order systems and analysts see it. */
export type Basket = {
  /** Whether the promise may not be kept for one of its lines. */
  at_risk: boolean
  basket: BasketId
  /** When the first line lapses, unless it is confirmed. */
  expires_at?: Timestamp | null
  failed: number
  /** In the order in which they were asked for. */
  lines: Array<BasketLine>
  mode: BasketMode
  state: BasketState
  /** Lines that are as they were asked to be. */
  succeeded: number
}

/** A basket: reservations of one buyer over several lines and suppliers, made by one request. It names no supplier. */
export type BasketId = string

/** A line of a basket as its owner, order systems and analysts see it. */
export type BasketLine = {
  /** Other offers of the same good in the same region with enough units, cheapest first, where the line is not to be had. Each is looked for by itself: two lines may be told of the same units. */
  alternatives?: Array<SeenOffer>
  /** Whether the promise may not be kept. */
  at_risk: boolean
  /** Stable code of the reason, where it is not as it was asked to be. */
  code?: string | null
  /** The reason for people. */
  detail?: string | null
  /** When what it keeps lapses, unless it is confirmed. */
  expires_at?: Timestamp | null
  gtin?: Gtin | null
  /** Units that it keeps by itself. */
  kept: number
  /** Its place in the request, from 0. */
  line: number
  listing?: ListingId | null
  /** The order it has become. */
  order?: OrderId | null
  quantity: number
  /** The reservation that it is; absent where nothing is held for it. */
  reservation?: ReservationId | null
  /** The good that was asked for, where the line is not to be had and names one. */
  sku?: Sku | null
  state?: ReservationState | null
  /** Whose; absent of a good that nobody offers. */
  supplier?: SupplierId | null
}

/** Whether lines are had all together or each by itself. */
export type BasketMode = "all_or_nothing" | "per_line"

/** What a refusal of a basket says beside what every problem says. */
export type BasketRefused = {
  /** Of a basket: what stood in the way of each line. */
  lines?: Array<BasketLine> | null
}

/** Where a basket is in its life. */
export type BasketState = "pending" | "held" | "confirmed" | "ordered" | "cancelled" | "released" | "lapsed" | "mixed"

/** What became of a batch. */
export type BatchAnswer = {
  failed: number
  /** Each row in the order in which it was sent. */
  rows: Array<RowOutcome>
  /** Rows that say what is so now. */
  succeeded: number
}

export type BatchBody = {
  rows: Array<BatchRow>
}

/** A row of a batch, told apart by `op`. */
export type BatchRow = PutRow | StockRow | WithdrawRow

/** A measure over a window. */
export type Binding = {
  /** The measure. */
  measure: string
  /** What is read of it. */
  take: Take
  /** Length of the window in milliseconds. */
  window_ms: number
}

/** What values a feature can have, as what it is taken from says. */
export type Bounds = {
  /** The largest. */
  high: number
  /** The smallest. */
  low: number
  /** Whether it is always a whole number. */
  whole: boolean
}

/** How much may be withheld in a window; past it what a rule finds goes to review. */
export type Budget = {
  /** Length of the window in milliseconds. */
  per_ms: number
  /** Share of all available units that these suppliers hold, 0 to 1. */
  stock_share?: number | null
  /** Suppliers newly withheld in the window. */
  suppliers?: number | null
}

/** How much may be withheld in a window. Past it a rule falls back to shadow and what it finds goes to review. */
export type BudgetSpec = {
  /** Length of the window, such as `1h`. */
  per: string
  /** Share of all available units that these suppliers hold, 0 to 1. */
  stock_share?: number | null
  /** Suppliers newly withheld in the window. */
  suppliers?: number | null
}

/** A buyer: the key of order outcomes in `events.inbox`. */
export type BuyerId = string

/** What a model said of orders as they were placed, beside what became of them. */
export type Calibration = {
  /** Those on which a fraud was confirmed. */
  bad: number
  /** Bins of the predicted probability, the same ten at all times. */
  bins: Array<CalibrationBin>
  /** Sum of the predictions per bad order; 1 is calibrated, null without a bad one. */
  expected_to_seen: number | null
  /** First day of the orders that are counted; null before any is. */
  from: Timestamp | null
  /** Age of an order, in days, from which on it is taken to have shown what becomes of it. Orders are counted week by week when the youngest of a week is as old; what is confirmed until an order is 90 days old still counts. */
  known_after_days: number
  /** When the next of them are counted. */
  next_at: Timestamp | null
  /** One order in so many is counted: of many a sample is kept. */
  one_in: number
  /** Orders counted, of at most the last half year. */
  orders: number
  /** The outcome that is predicted: always `fraud_confirmed`, whoever's fault. */
  outcome: string
  /** The day after the last one. */
  until: Timestamp | null
  /** Orders that were predicted and are too young to be counted. */
  waiting: number
}

/** Orders of which a model said about the same. */
export type CalibrationBin = {
  bad: number
  /** Predicted probability from here on. */
  from: number
  high: number | null
  /** Wilson interval of that share, with a confidence of 95%, as if orders were independent; those of one supplier are not quite. */
  low: number | null
  orders: number
  /** Mean prediction; null without orders, like what follows. */
  predicted: number | null
  reading: CalibrationReading | null
  /** Share that went bad. */
  seen: number | null
  /** Up to here. */
  until: number
}

/** The mean prediction beside the interval of what was seen. */
export type CalibrationReading = "as_predicted" | "more" | "fewer"

/** The event at the root of a chain of derived records: what a decision can be traced back to. */
export type Cause = {
  /** The CloudEvents id of the event or command that set it off. */
  id: string
  /** Its record time in the log. */
  time: Timestamp
}

/** Whose doing a cancellation, lateness or refund is. Only the supplier's counts against the supplier. */
export type CauseRequest = "supplier" | "buyer" | "carrier" | "platform" | "unknown"

/** What changes. */
export type Change = {
  /** The profile. */
  profile: SupplierProfile
  what: "supplier"
} | {
  /** What the replica that was asked knew of the supplier. It counts only where the control fold knows nothing, for suppliers that were registered before it kept profiles. */
  known?: SupplierProfile | null
  /** What is said. */
  registration: Registration
  what: "register"
} | {
  /** The version it replaces; with another one in force it is turned down. */
  base?: string | null
  /** Why. */
  note?: string
  /** The rule set as YAML, exactly as it was given. */
  source: string
  /** Content hash of `source`, hex. */
  version: string
  what: "rules"
} | {
  /** The id of the draft that was looked at. */
  draft: string
  what: "approve"
} | {
  /** The id of the draft. */
  draft: string
  what: "drop"
} | {
  /** Content hash of the set that was looked at. */
  version: string
  what: "approve_rules"
} | {
  /** Content hash of the set. */
  version: string
  what: "drop_rules"
} | {
  /** Why. */
  note: string
  /** Content hash of the set; the one before that in force when absent. */
  to?: string | null
  what: "roll_back_rules"
} | {
  /** Whether it does. */
  on: boolean
  /** Why. */
  reason?: string
  what: "four_eyes"
} | {
  /** Why. */
  reason: string
  /** The rule. */
  rule: RuleId
  what: "rearm"
} | {
  /** Whether rules are in shadow. */
  on: boolean
  /** Why. */
  reason: string
  what: "kill_switch"
} | {
  /** The version it replaces, empty for the initial one; with another one in force it is turned down. */
  base?: string | null
  /** The declaration as YAML, exactly as it was given. */
  source: string
  /** Content hash of `source`, hex. */
  version: string
  what: "features"
} | {
  /** Unique for this change. */
  id: string
  /** The model file. */
  source: string
  what: "model"
} | {
  /** Unique for this change. */
  id: string
  /** How. */
  to: ModelSwitch
  what: "model_switch"
}

export type ChangeWebhook = {
  /** What it is for; empty takes it away. */
  description?: string | null
  /** Whether it is told anything. Enabling one that was disabled begins with what happens from then on; `/replay` brings back what it missed. */
  enabled?: boolean | null
  /** Which events; everything when empty. */
  events?: Array<string> | null
  /** Where to. */
  url?: string | null
}

/** A claim of a person. */
export type Claim = {
  /** Who. */
  actor: string
  /** Until when nobody else is given it. */
  until: Timestamp
}

/** What a claim says is wrong. */
export type ClaimReason = "not_received" | "not_as_described" | "damaged" | "other"

/** JSON format. Extension attributes are allowed by the specification and ignored here. */
export type CloudEvent = {
  /** This or `data_base64`. */
  data?: EventData | null
  /** The data in Base64; this or `data`. */
  data_base64?: string | null
  datacontenttype?: string | null
  /** Unique within its source; sent again it is counted once. */
  id: EventId
  /** Who tells of it. */
  source: string
  /** `1.0`. */
  specversion: string
  /** When it happened; now when nobody says. At most 90 days ago. */
  time?: Timestamp | null
  type: "stockade.order.placed" | "stockade.order.shipped" | "stockade.order.delivered" | "stockade.order.cancelled" | "stockade.order.disputed" | "stockade.order.fraud_confirmed" | "stockade.order.refunded" | "stockade.order.reviewed" | "stockade.order.complaint" | "stockade.account.login" | "stockade.account.payout_changed"
}

/** One event or several, as the JSON formats of CloudEvents have them. */
export type CloudEvents = CloudEvent | Array<CloudEvent>

/** Whether something may be missing because this replica has not read all that there was before it started. */
export type Completeness = "complete" | "partial"

/** Who found a restriction right, and when. */
export type Confirmed = {
  /** Who. */
  actor: string
  /** When. */
  at: Timestamp
  /** Who had found so before, and when: what stands again when this is taken back. */
  before?: Confirmed | null
}

/** What one feature adds to a score. */
export type Contribution = {
  feature: string
  /** The most it could add. */
  of: number
  points: number
  value: number | null
}

export type Counted = {
  value: number
  what: string
}

/** A bound that a rule tested, and the value that would be on its other side. */
export type Counterfactual = {
  /** Whether that alone would change what the rule says. */
  decides: boolean
  /** The feature. */
  feature: string
  /** The nearest value with which the test would come out the other way. */
  needed: number
  /** What was seen; absent when it is unknown. */
  seen: number | null
  /** The test, such as `>= 5`. */
  test: string
}

/** An ISO 4217 alphabetic code such as `EUR`. */
export type Currency = string

/** Who had a record played again, when and why. */
export type DeadLetterReplayed = {
  actor: string
  at: Timestamp
  reason: string
}

/** What could not be processed. */
export type DeadLetterSeen = {
  /** When it was written. */
  at: Timestamp
  /** How often it was tried. */
  attempts: number
  /** Stable reason. */
  code: string
  /** What was wrong. */
  detail: string
  /** The record type it claimed. */
  kind: string
  /** Where the letter itself lies. */
  letter: number
  /** Its offset. */
  offset: number
  /** Partition it was read from. */
  partition: number
  /** Whether its topic is one that callers feed: only such a record can be played again. */
  replayable: boolean
  /** Who had its record played again; null while nobody has. */
  replayed: DeadLetterReplayed | null
  /** Where the record was read. */
  topic: string
  /** The beginning of the value, up to 4,096 bytes. */
  value: string
  /** Bytes of the whole value. */
  value_bytes: number
}

/** A page of dead letters. */
export type DeadLetters = {
  /** How many are kept; older ones went with the topic's retention. */
  kept: number
  /** The newest first. */
  letters: Array<DeadLetterSeen>
  /** Send it as `before` for older ones; null at the end. */
  next: number | null
}

/** Durable, but not decided before the deadline. */
export type DecidedLater = {
  detail: string
  proposal: string
}

/** What stands before the decimals of a number. */
export type Decimal = "auto" | "point" | "comma"

/** One decision: what changed, and the supplier's whole set in force after it. */
export type Decision = {
  /** What several decisions were made by together: the id of the record by which a person asked to restore everyone. */
  act?: string | null
  /** What happened. */
  action: Action
  /** Who, for a person's decision. */
  actor?: string | null
  /** Record time of the proposal or tick that caused it. */
  at: Timestamp
  /** Hash chain over all decisions: SHA-256 of the previous link and this decision with an empty `chain`, hex. */
  chain: string
  /** Everything in force for the supplier from here on. */
  in_force: Array<Restriction>
  /** Why, for a person's decision. */
  note?: string | null
  /** The restriction it happened to; absent for an override that changed none. */
  restriction?: Restriction | null
  /** The supplier. */
  supplier: SupplierId
  /** Position of the cause: orders decisions and makes writes idempotent. */
  version: Position
}

/** What a supplier is told: what, why, since when, until when. Never thresholds or rules. */
export type DecisionFacts = {
  /** Whether a rule made it rather than a person. */
  automatic: boolean
  counted: Array<Counted>
  decision: string
  expires_at: Timestamp
  in_force: boolean
  level: Level
  reasons: Array<string>
  review_at: Timestamp
  scope: Scope
  since: Timestamp
  text: string
  /** Who vouches for what was counted. */
  vouched: Array<VouchedBy>
}

export type DecisionQuery = {
  /** `next` of the page before. */
  cursor?: number | null
  /** Decisions on the page; 50 when nobody says, 500 at most. */
  limit?: number | null
  supplier?: SupplierId | null
}

export type DecisionStep = {
  action: Action
  actor: string | null
  /** When what buyers are shown by the process that answers followed it; null where that is not known here: inventory runs elsewhere, or the process has started since, or has applied 10,000 others. */
  applied_at: Timestamp | null
  at: Timestamp
  note: string | null
}

export type DecisionTold = {
  in_force: boolean
  restriction: Restriction | null
  /** Whether the process that answers serves buyers, so that it could know when they were shown what was decided. */
  serves_buyers: boolean
  /** What happened to it, the newest first. */
  story: Array<DecisionStep>
  supplier: SupplierId
}

export type Decisions = {
  decisions: Array<Decision>
  /** The cursor of the next page; none on the last. */
  next: number | null
}

/** Something that waits for a second person. */
export type Draft = {
  /** When. */
  at: Timestamp
  /** Who asked for it. */
  author: string
  /** What would be done. */
  change: Change
  /** Names it: the content hash of a rule set or declaration that would come into force, else unique for the change. */
  id: string
  /** What it is about. */
  subject: Subject
}

export type DraftApproved = {
  approver: string
  draft: string
}

export type Drafts = {
  drafts: Array<Draft>
}

/** Live vectors beside those that the champion was trained on. */
export type Drift = {
  /** Vectors between two looks at the index. */
  every: number
  /** The population stability index of each feature that the champion reads, and of its `score`; empty until the first look. */
  indexes: Array<DriftIndex>
  /** Version of the model that it is about; null without a champion. */
  model: string | null
  /** What the models made of these vectors. */
  points: Array<ModelPoints>
  /** Vectors scored in this process since it started. */
  vectors: number
}

/** How far one feature has moved. */
export type DriftIndex = {
  feature: string
  index: number
  reading: DriftReading
}

/** The usual reading of an index. */
export type DriftReading = "steady" | "moved" | "shifted"

/** How characters are written. */
export type Encoding = "utf-8" | "utf-8-bom" | "utf-16le" | "utf-16be" | "windows-1252"

export type EventAgain = {
  /** `duplicate` or `conflict`. */
  answer: string
  code: EventCode
  detail: string
}

/** What became of an event. */
export type EventAnswer = {
  /** Whether the same source and id came again, and how: nothing of that was counted. */
  again?: EventAgain | null
  answer: EventStatus
  /** Why, or what is remarkable about it. */
  code?: EventCode | null
  detail?: string | null
  id: string
  source: string
}

/** Why, or what is remarkable about it. */
export type EventCode = "repeated_outcome" | "repeated_id" | "id_reused" | "more_than_ordered" | "contradicts" | "ambiguous_quantity" | "order_too_large" | "unknown_supplier" | "unknown_listing" | "not_placed" | "no_listing" | "unknown_reservation" | "reservation_over" | "reservation_mismatch" | "reservation_taken"

export type EventData = {
  amount?: Price | null
  /** What was seen of an account, as salted hashes. */
  attributes?: Array<Attribute>
  /** Whose order it is, the same in every event of it: evidence counts buyers, and an outcome without the buyer that its order was placed with counts for hardly any rule. None for a guest's order, in all its events. */
  buyer?: BuyerId | null
  category?: string | null
  /** Whose doing it was; a cancellation must say it. */
  cause?: CauseRequest | null
  /** By when delivery was promised. */
  deliver_by?: Timestamp | null
  late?: boolean
  /** The line of the order; all lines when nobody says. */
  line?: LineId | null
  listing?: ListingId | null
  new_device?: boolean
  /** The order; every outcome of one names it. */
  order?: OrderId | null
  /** Tells apart two outcomes of the same kind and quantity. */
  part?: string | null
  quantity?: number | null
  /** Of a review. */
  rating?: number | null
  /** Why a buyer claims something. */
  reason?: ClaimReason | null
  region?: Region | null
  /** The reservation that has become this order. */
  reservation?: ReservationId | null
  /** By when hand-over was promised. */
  ship_by?: Timestamp | null
  sku?: Sku | null
  /** Whom it is about. */
  supplier: SupplierId
  tracking?: string | null
}

/** The identifier of an event or command, unique within its source. */
export type EventId = string

/** What is answered of each event that was sent. */
export type EventRow = {
  /** Where to ask what became of it. */
  answer: string
  id: EventId
  row: number
  /** `accepted`: it is durable. */
  status: string
  /** What is remarkable about an event that counts all the same. */
  warnings?: Array<FieldError>
} | {
  errors: Array<FieldError>
  row: number
  /** `invalid`: it was not taken. */
  status: string
} | {
  /** `share_used`. */
  code: string
  id: EventId
  /** Seconds to wait before that. */
  retry_after_s: number
  row: number
  /** `held_back`: it was not taken, for the server is behind where it goes, and the key has had its share of that. Send it again. */
  status: string
}

/** What became of an event. */
export type EventStatus = "applied" | "noted" | "duplicate" | "conflict" | "parked"

/** What is answered of a request. */
export type EventsReceipt = {
  accepted: number
  /** Of these, rows to be sent again, for they were only held back. */
  held_back: number
  /** Rows that were not taken, those held back included. */
  refused: number
  rows: Array<EventRow>
  /** Accepted rows with warnings. */
  warned: number
}

/** A bound of a rule in force on one of the features. */
export type EvidenceBound = {
  bound: number
  feature: string
  level: Level
  mode: Mode
  rule: RuleId
  /** `<`, `<=`, `>` or `>=`, the feature standing on the left. */
  sign: string
}

/** The evidence about a supplier over time. */
export type EvidenceOverTime = {
  /** The times of the points, the oldest first, at most 500. */
  at: Array<Timestamp>
  /** What rules in force compare these features with. A test among several of a rule is no verdict. */
  bounds: Array<EvidenceBound>
  /** Where not all of that time was read, because too much lies there: from when on it was. Null where all was. */
  from: Timestamp | null
  series: Array<EvidenceSeries>
  since: Timestamp
  /** Vectors of it from before features or windows were declared as they are now; they are left out. */
  skipped: number
  supplier: SupplierId
  until: Timestamp
  /** Vectors of the supplier in that time. Where there are more than points, the least and the greatest value of each stretch are told. */
  vectors: number
}

/** What is asked for. */
export type EvidenceQuery = {
  /** Features by commas, at most 60; all tests with their counts and `evidence.total` when nobody says. */
  features?: string | null
  /** From then on; seven days before `until` when nobody says. */
  since?: Timestamp | null
  /** Until then; now when nobody says. */
  until?: Timestamp | null
}

/** One feature over time. */
export type EvidenceSeries = {
  /** And the one that says how many peers would have brought. */
  expected: string | null
  feature: string
  /** Where it is the odds of a test: the feature that counts what was seen of it, its exposure. */
  seen: string | null
  /** A value at each of `at`; null where it was unknown. */
  values: Array<number | null>
}

/** A case that must come out as written before a set is used. */
export type Example = {
  /** What the rule says. */
  expect: Truth
  /** Features that are known, by name as the rule writes them; all others are unknown. */
  given: Record<string, number>
  /** What it shows. */
  name: string
  /** Record time; the beginning of 1970 when absent. */
  now?: Timestamp | null
}

/** What holds a rule back: a budget that was exceeded, evidence that is suspect, or a person who stopped it. */
export type Exceeded = {
  /** When. */
  at: Timestamp
  /** Whether it is the budget of caps: what the rule finds is only watched until there is room in it again. */
  caps?: boolean
  /** Content hash of the rule that exceeded it: written otherwise, or rearmed, it may act again. */
  content: string
  /** Which budget, and how. */
  detail: string
  /** Who stopped the rule, where somebody did: it does nothing at all until it is rearmed. */
  stopped_by?: string | null
  /** The kind of evidence that is suspect, where that holds the rule to a watch and no budget does. */
  suspect?: string | null
}

export type ExplainRules = {
  rule?: RuleId | null
  source?: string
  supplier: SupplierId
}

export type ExtendDecision = {
  expires_at: Timestamp
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
}

/** What was found out about a file. */
export type Facts = {
  /** How it is packed. */
  archive: Archive
  /** What parts its cells. */
  delimiter?: string | null
  /** How its characters are written. */
  encoding: Encoding
  /** How its rows are written. */
  format: Format
  /** Names of its columns. */
  header: Array<string>
  /** Name of the mapping that it is read by; absent where none fits, and for rows in the form of the API. */
  mapping?: string | null
}

/** One feature: a number with a name, a unit and a meaning. */
export type Feature = {
  /** Whether it counts outcomes of orders that somebody beside the buyer attests. */
  attested?: boolean
  /** What values it can have. */
  bounds?: Bounds
  /** Whether it counts what people say of orders: disputes, complaints, refunds, ratings. */
  claims?: boolean
  /** What is counted, in words that follow a number, where it is the odds of a test: `<name>_seen` and `<name>_expected` are its counts. */
  counted?: string | null
  /** What it measures. */
  meaning: string
  /** `group.name`, as rules write it; for a window that a rule binds, such as `cancellations.rate("7d")`, that text. */
  name: string
  /** Unit, such as `count`, `ratio`, `hours`. */
  unit: string
  /** The window it is, as rules may bind it. */
  window?: Binding | null
}

export type Features = {
  features: Array<Feature>
  schema: number
  source: string
  version: string
}

/** One field that is wrong. */
export type FieldError = {
  /** Stable code. */
  code: string
  /** For people. */
  detail: string
  /** JSON pointer into the body, or the name of a query parameter or header; `body` where it is about all of the body. */
  field: string
}

/** Something wrong, in a place. */
export type Finding = {
  /** A stable code. */
  code: string
  /** The column by its name in the file, or empty. */
  column: string
  /** Why, and what to do. */
  detail: string
  /** Line of the file, from 1; of X12 the segment, of EPCIS the event. 0 is the whole file. */
  line: number
  /** Whether the row was taken. */
  severity: Severity
  /** What is there, at most 100 characters of it. */
  value: string
}

/** What a verification found. */
export type Finding2 = "never" | "running" | "holds" | "broken" | "failed"

/** What a person makes of something that waits for a review. */
export type FindingRequest = "uphold" | "release"

/** What a rule that withholds without a bound on false alarms rests on. */
export type Floor = "attested"

/** A fold that a process takes part in. */
export type FoldOfInstance = {
  fold: string
  /** Partitions it owns. Of a fold that every replica follows, one of them commits for all. */
  partitions: Array<number>
}

/** How rows are written. */
export type Format = "csv" | "tsv" | "ndjson" | "x12" | "epcis"

export type FourEyes = {
  on: boolean
}

/** A Global Location Number of 13 digits. */
export type Gln = string

export type Good = {
  /** This or `sku`. */
  gtin?: string | null
  min_qty?: number | null
  /** This or `gtin`. */
  sku?: Sku | null
}

/** A Global Trade Item Number of 8, 12, 13 or 14 digits, kept and printed as GTIN-14. An UPC-E is read as its UPC-A. */
export type Gtin = string

/** What one buyer's key may hold of one listing without confirming it. The edge writes what its configuration says into each hold, so that every process decides the same about it, whatever its own configuration says by then. */
export type HoldBound = {
  /** Of the units that the listing has on hand, in percent, rounded down. */
  percent: number
  /** Units that it may hold at least, however few are on hand. */
  units: number
}

/** What buyers would no longer see if some suppliers were withheld. */
export type Impact = {
  /** The first of them. */
  names: Array<SupplierId>
  /** Units, value, and what would be left empty; none where inventory does not run in this process. */
  stock: StockImpact | null
  /** How many suppliers. */
  suppliers: number
  /** How many of them are withheld already. */
  withheld_already: number
}

/** What buyers would no longer see if some suppliers were withheld. */
export type ImpactOfRules = {
  /** The first of them. */
  names: Array<SupplierId>
  /** Suppliers of whom nothing can be said: their last score is of the features and windows that were in force before. */
  outdated: number
  /** Suppliers by rule. */
  rules: Record<string, number>
  /** Units, value, and what would be left empty; none where inventory does not run in this process. */
  stock: StockImpact | null
  /** How many suppliers. */
  suppliers: number
  version: string
  /** How many of them are withheld already. */
  withheld_already: number
}

/** An import as it is told. */
export type Import = {
  changed_at: Timestamp
  created_at: Timestamp
  /** Until all rows are applied, at the pace of now. */
  estimate_seconds: number | null
  /** What was found out about the file; null until it was looked at. */
  file: Facts | null
  finished_at: Timestamp | null
  import: string
  links: ImportLinks
  /** Of a snapshot: what it does not name. */
  missing: ImportMissingListings | null
  mode: ImportMode
  /** Why it failed, or why the file was not read to its end. */
  problem: Finding | null
  rows: ImportRows
  /** Of the upload, hex. */
  sha256: string
  state: ImportState
  upload_bytes: number
}

/** Where to go on with an import. */
export type ImportLinks = {
  cancel: string
  confirm: string
  report: string
  self: string
}

/** How a snapshot takes a listing off the market. */
export type ImportMissing = "zero" | "withdraw"

/** Listings that a snapshot does not name. */
export type ImportMissingListings = {
  listings: number
  /** Listings on the market when the file was read. */
  of: number
}

/** What becomes of listings that the file does not name. */
export type ImportMode = "upsert" | "snapshot"

/** What a preview answers. */
export type ImportPreview = {
  /** What was found out about the file; null where it cannot be read at all. */
  file: Facts | null
  /** The mapping it is read by, or that is proposed. */
  mapping: Mapping | null
  /** The same as YAML, to be changed. */
  mapping_yaml: string | null
  /** Why it cannot be read as it is. */
  problem: Finding | null
  /** The first rows. */
  rows: Array<ImportPreviewRow>
}

/** A row as it would be read: `row`, or why it would be `refused`; or a `warning` about the file. */
export type ImportPreviewRow = {
  line: number
  refused?: Finding | null
  row?: Row | null
  warning?: Finding | null
}

/** Rows of an import by what became of them. */
export type ImportRows = {
  accepted: number
  /** Of these, done. */
  done: number
  /** Read from the file. */
  read: number
  /** Not taken; the report says why. */
  refused: number
  /** Listings that the file does not name and that were taken off the market. */
  taken_off: number
  /** To be applied, listings to be taken off the market among them. */
  to_apply: number
  /** Said what was known already, or was overtaken by a newer sequence. */
  unchanged: number
  /** Warned of in the report. */
  warned: number
}

/** How far an import is. */
export type ImportState = "received" | "needs_confirmation" | "applying" | "done" | "cancelled" | "failed"

/** How a file is to be read and what is to be done with it. */
export type ImportWanted = {
  /** How its characters are written, where it does not show. */
  encoding?: string | null
  /** What the file is, where it does not show: `csv`, `tsv`, `ndjson`, `x12` or `epcis`. */
  format?: string | null
  /** Name of a shipped mapping, `proposed`, or a mapping in YAML; left out, the header says what is what. */
  mapping?: string | null
  /** How a snapshot takes a listing off the market. */
  missing?: ImportMissing
  /** What becomes of listings that the file does not name: nothing (`upsert`), or they are taken off the market (`snapshot`). */
  mode?: ImportMode
  /** Only look, as `/preview` does. */
  preview?: boolean
  /** Rows that the file has: with another number nothing is applied. */
  rows?: number | null
}

/** A page of the imports of a supplier that this node knows. */
export type Imports = {
  /** The newest first. */
  imports: Array<Import>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** The process that answers. */
export type Instance = {
  /** The configuration in effect, secrets as `***`; null where there is none, as in a demo. What waits for a restart is not in it. */
  configuration: unknown
  /** Its name, other at each start. */
  instance: string
  /** `embedded` or `kafka`. Only with Kafka may there be other processes; each answers for itself. */
  log: string
  /** What is put off at the moment: everything up to this rung of the ladder. */
  puts_off: Rung
  /** Whether it is ready. */
  ready: boolean
  /** What runs in it: of `inventory`, `scoring` and `lockout`, or `replica`. */
  roles: Array<string>
  started_at: Timestamp
  /** The version of the program. */
  version: string
  /** Why it is not; null while it is. */
  waits_for: string | null
}

/** Who runs now. */
export type Instances = {
  /** By name. */
  instances: Array<RunningInstance>
}

/** The kill switch. */
export type Kill = {
  /** Who turned it. */
  actor: string
  /** When. */
  at: Timestamp
  /** Whether rules are in shadow. */
  on: boolean
  /** Why. */
  reason: string
}

export type KillSwitch = {
  /** Who turned it last, why and when; none when nobody ever did. */
  last: Kill | null
  on: boolean
}

/** Which part of them is asked for. */
export type LettersQuery = {
  /** `next` of the page before. */
  before?: number | null
  /** Letters on the page; 50 when nobody says, 200 at most. */
  limit?: number | null
}

/** How hard a restriction bites; ordered. */
export type Level = "watch" | "limit" | "cap" | "dim" | "quarantine" | "lockout"

/** What is to be done with one line of a basket. */
export type LineAct = {
  /** The basket. */
  basket: BasketId
  /** What its owner may hold of the listing without confirming; absent in records of builds that knew no bound. */
  bound?: HoldBound | null
  do: "hold"
  /** When the hold lapses by itself. */
  expires_at: Timestamp
  /** Place of the line in the basket, from 0. */
  line: number
  /** Lines of the basket. */
  lines: number
  /** The listing. */
  listing: ListingId
  /** Whether the service chose the listing, and chooses another one when this is refused: then a refusal is for good, so that no attempt that comes late holds units here beside those that were held elsewhere. */
  once?: boolean
  /** Units held. */
  quantity: number
  /** Where the units are to go; absent means anywhere that the listing serves. */
  region?: Region | null
  /** Hash of all that was asked for. */
  request: string
  /** Whether the basket is to be had as a whole or not at all. */
  whole: boolean
} | {
  do: "pass"
} | {
  do: "keep"
  /** When the hold lapses by itself. */
  expires_at: Timestamp
} | {
  do: "confirm"
} | {
  do: "release"
}

/** One line of an order, as the order system counts them. */
export type LineId = string

/** Something about one line of a basket: a reservation beside others, of other suppliers too, that one buyer asked for at once. */
export type LineRow = {
  /** What is to be done. */
  act: LineAct
  /** Which attempt to make the basket this is, or made it: the offset at which it held the head, line 0. The later attempt has the larger one and takes lines over; what an earlier one says of them does nothing any more, so that two retries that run at once do not undo each other's work. Absent where the head is held, and in baskets that are had line by line. */
  epoch?: number | null
  /** Name of the key that made the basket; nobody else may act on it. */
  owner: string
  /** Name of the reservation that the line is. */
  reservation: ReservationId
}

/** What is asked of a list. */
export type ListQuery = {
  /** `next` of the page before. */
  cursor?: string | null
  /** Items on the page; 50 when nobody says. */
  limit?: number | null
}

/** A listing as its supplier sees it. */
export type Listing = {
  available: number
  gtin: Gtin | null
  listing: ListingId
  location: LocationId
  on_hand: number
  price: Money
  regions: Array<Region>
  sku: Sku
  updated_at: Timestamp
  withdrawn: boolean
}

/** A supplier's own name for one of its listings. */
export type ListingId = string

/** What a listing says. */
export type ListingPut = {
  /** Its GTIN, if it has one. */
  gtin?: Gtin | null
  /** The supplier's name for it. */
  listing: ListingId
  /** Where the stock is. */
  location: LocationId
  /** The market the API saw when it accepted the row. */
  market?: MarketSeen | null
  /** Stock to set at the same time, in units. */
  on_hand?: number | null
  /** Price of one unit. */
  price: Money
  /** Regions served; empty means the location's own region. */
  regions?: Array<Region>
  /** The good. */
  sku: Sku
  /** The supplier's own sequence for this listing, if it keeps one. */
  source_seq?: number | null
}

export type LocationBody = {
  /** Its GLN, 13 digits, if it has one. */
  gln?: Gln | null
  /** Days from order to hand-over. */
  handling_days: number
  latitude: number
  longitude: number
  /** The region it serves unless a listing says otherwise. */
  region: Region
}

/** A supplier's own name for one of its locations. */
export type LocationId = string

/** Where stock lies and how fast it leaves. */
export type LocationPut = {
  /** Its GLN, if it has one. */
  gln?: Gln | null
  /** Days from order to hand-over, 0 to 365. */
  handling_days: number
  /** Degrees north, -90 to 90. */
  latitude: number
  /** The supplier's name for it. */
  location: LocationId
  /** Degrees east, -180 to 180. */
  longitude: number
  /** The region it serves unless a listing says otherwise. */
  region: Region
}

/** A mapping as written. A row with `price` is the whole listing (its `sku` and `location` are needed too); without one, it is the stock of a listing that is there. */
export type Mapping = {
  /** Of amounts that say no currency themselves. */
  currency?: Currency | null
  /** Column of its currency. */
  currency_column?: string | null
  /** What stands before decimals. */
  decimal: Decimal
  /** Its GTIN. */
  gtin?: Text | null
  /** The supplier's name for the listing. */
  listing: Text
  /** Where the stock is. */
  location?: Text | null
  /** Columns that a file need not have. */
  may_lack?: Array<string>
  /** Its name, for messages. */
  name: string
  /** Column of the units on the shelf. */
  on_hand?: string | null
  /** Column of the price of one unit. */
  price?: string | null
  /** Column of the regions served, parted by spaces, `;` or `|`. */
  regions?: string | null
  /** The good. */
  sku?: Text | null
  /** Column of the supplier's own sequence. */
  source_seq?: string | null
  /** There are none, whatever `on_hand` says, where this column has one of these values. */
  zero_when?: When | null
}

/** What the market for a SKU looked like to the API that accepted a submission, other suppliers' offers only. */
export type MarketSeen = {
  /** Median price of one unit, minor units, in the submission's currency. */
  median_minor: number
  /** Median available units of these offers. */
  median_units: number
  /** Offers it was taken over. */
  offers: number
  /** Median distance of their prices from the median price, minor units. */
  spread_minor?: number | null
}

/** Whether a rule acts. */
export type Mode = "off" | "shadow" | "canary" | "live"

/** Where a model comes from and how it did. */
export type Model = {
  /** What became of the orders that it had predicted while it was champion or challenger, as the process that answers sees its partitions; null where scoring runs elsewhere. */
  calibration: Calibration | null
  held_out: unknown
  origin: unknown
  version: string
}

/** What a model made of the vectors that were scored here. */
export type ModelPoints = {
  /** Mean points, 0 to 1,000; null before the first. */
  mean: number | null
  /** `champion` or `challenger`. */
  model: string
  vectors: number
}

/** How models change places. */
export type ModelSwitch = "promote" | "roll_back"

/** Which model is which. */
export type Models = {
  challenger: Model | null
  champion: Model | null
  /** How far live vectors have moved from those that the champion was trained on, as the process that answers sees its partitions; null where scoring runs elsewhere. */
  drift: Drift | null
  former: Model | null
}

/** An amount in minor units (cents for EUR, whole yen for JPY, thousandths of a dinar for KWD). */
export type Money = {
  /** ISO 4217 code. */
  currency: Currency
  /** Minor units, 0 to 10^12. */
  minor: number
}

export type NewAppeal = {
  /** The decision that is wrong, as standing names it. */
  decision: string
  /** Why, in your own words. */
  text: string
}

/** An allow or a denial: exactly one of both, and always spelt out. */
export type NewOverride = {
  allow?: boolean
  deny?: Level | null
  expires_at: Timestamp
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
  scope?: Scope | null
  supplier: SupplierId
  /** What the supplier is told, in its standing and in the statement of reasons: the facts that a denial rests on. The reason is for colleagues. */
  text?: string | null
}

export type NewWebhook = {
  /** What it is for, in your words. */
  description?: string | null
  /** Which events; everything that the key may hear of when empty or left out. */
  events?: Array<string>
  /** Where to: `https://`, on the public internet. */
  url: string
}

/** An order of the marketplace's order system. */
export type OrderId = string

/** What people decided of one supplier; `DELETE /v1/overrides/{supplier}` takes all of it back. */
export type Override = {
  /** Who keeps rules off it, and until when; null where nobody does. */
  allow: OverrideAllow | null
  denials: Array<OverrideDenial>
  supplier: SupplierId
}

export type OverrideAllow = {
  actor: string
  expires_at: Timestamp
}

export type OverrideDenial = {
  actor: string | null
  deny: Level
  expires_at: Timestamp
  /** The decision, as `/v1/decisions/{id}` knows it. */
  id: string
  /** Why, as was noted for colleagues. */
  reason: string | null
  scope: Scope
  since: Timestamp
  /** What the supplier is told. */
  text: string
}

/** One page of a list. */
export type PageOfBasket = {
  /** What is on it, in order of their names. */
  items: Array<Basket>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** One page of a list. */
export type PageOfListing = {
  /** What is on it, in order of their names. */
  items: Array<Listing>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** One page of a list. */
export type PageOfLocationPut = {
  /** What is on it, in order of their names. */
  items: Array<LocationPut>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** One page of a list. */
export type PageOfOverride = {
  /** What is on it, in order of their names. */
  items: Array<Override>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** One page of a list. */
export type PageOfRequestDecided = {
  /** What is on it, in order of their names. */
  items: Array<RequestDecided>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** One page of a list. */
export type PageOfReservation = {
  /** What is on it, in order of their names. */
  items: Array<Reservation>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** One page of a list. */
export type PageOfSupplierProfile = {
  /** What is on it, in order of their names. */
  items: Array<SupplierProfile>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** One page of a list. */
export type PageOfWebhook = {
  /** What is on it, in order of their names. */
  items: Array<Webhook>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** One page of a list. */
export type PageOfWebhookDelivery = {
  /** What is on it, in order of their names. */
  items: Array<WebhookDelivery>
  /** The cursor of the next page; none on the last. */
  next: string | null
}

/** How far the folds of this process are. */
export type Partitions = {
  partitions: Array<Place>
}

/** What is durable and not decided yet. */
export type Pending = {
  detail: string
  /** Where the outcome will be found. */
  operation: string
}

/** One partition of what goes through a topic. */
export type Place = {
  /** Everything before this offset is applied by this process; null where it has not begun. */
  applied: number | null
  /** The time of the last record applied; null before the first. */
  at: Timestamp | null
  /** Everything before this offset is committed, by whichever process; null for what commits nothing. */
  committed: number | null
  /** The offset that is written next. */
  end: number
  /** What goes through it. */
  fold: string
  /** Records that this process has not applied yet; null where it has not begun. */
  lag: number | null
  partition: number
  /** What of suppliers' writes to this partition is put off; null where it is none of theirs. */
  puts_off: Rung | null
  /** For how long there has been input of which nothing was committed, in seconds. */
  stalled_seconds: number
  /** What it reads. */
  topic: string
}

/** The position of an output: the input record that caused it and its place among that record's outputs. Ordered within one `(fold, partition)`; a receiver keeps the last one per `(fold, partition)` and skips what is not after it. */
export type Position = string

export type Price = {
  /** ISO 4217 code. */
  currency: Currency
  /** Whole minor units: cents of EUR, yen. */
  minor: number
}

/** A refusal: what went wrong, in a form that programs and people can read. */
export type Problem = {
  /** Stable code to script against. */
  code: string
  /** What happened this time and what to do. */
  detail: string
  /** The offending fields. */
  errors?: Array<FieldError>
  /** The HTTP status. */
  status: number
  /** The kind in words. */
  title: string
  /** A URI that names the kind of problem. */
  type: string
}

/** What a listing says, without its id. */
export type PutBody = {
  /** GTIN-8, -12, -13 or -14, or UPC-E, with its check digit. */
  gtin?: string | null
  /** A location that was put before. */
  location: LocationId
  /** Units on the shelf; left out, the stock stays as it is. */
  on_hand?: number | null
  price: Price
  /** Regions that it is sold to; none is that of its location. */
  regions?: Array<Region>
  sku: Sku
  /** Your own count of changes of this listing; what is older loses. */
  source_seq?: number | null
}

/** `put` in a batch: [`PutBody`] with what a path says otherwise. */
export type PutRow = {
  /** GTIN-8, -12, -13 or -14, or UPC-E, with its check digit. */
  gtin?: string | null
  listing: ListingId
  /** A location that was put before. */
  location: LocationId
  /** Units on the shelf; left out, the stock stays as it is. */
  on_hand?: number | null
  op: "put"
  price: Price
  /** Regions that it is sold to; none is that of its location. */
  regions?: Array<Region>
  sku: Sku
  /** Your own count of changes of this listing; what is older loses. */
  source_seq?: number | null
}

/** An ISO 3166-1 alpha-2 country (`DE`) or an ISO 3166-2 subdivision (`BR-SP`). */
export type Region = string

export type RegisterBody = {
  /** Class of its limits: `standard`, `large`, or one of the configuration. */
  class?: string | null
  /** Its name for people: one line. */
  name: string
  /** Its home. */
  region: Region
  /** Since when it trades on the marketplace; not in the future. */
  since?: Timestamp | null
  stock_counts?: StockCounts | null
}

/** What is said of a supplier when it is registered, the first time or again. */
export type Registration = {
  /** Class for rate limits; as before when absent. */
  class?: string | null
  /** Its name for people. */
  name: string
  /** Home region. */
  region: Region
  /** Since when it trades on the marketplace; as before when absent. */
  since?: Timestamp | null
  /** What its stock figures count; as before when absent. */
  stock_counts?: StockCounts | null
  /** Its id. */
  supplier: SupplierId
}

/** What is said beside a dead letter that is to be played again. */
export type ReplayDeadLetter = {
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
}

export type ReplayWebhook = {
  /** What happened at or after this moment is told again, as far as it is still known. */
  since: Timestamp
}

/** A dead letter whose record was played again. */
export type ReplayedDeadLetter = {
  /** Whether that was before, so that nothing was done now. */
  again: boolean
  /** Where the letter lies. */
  letter: number
  /** Who asked for it, the first time. */
  replayed: DeadLetterReplayed
}

/** A request of a supplier that was decided within a day. */
export type RequestDecided = {
  failed: number
  /** Its `Idempotency-Key`, or the id it was given. */
  key: string
  /** Where every row of it is answered for. */
  operation: string
  succeeded: number
}

/** A reservation as its owner, order systems and analysts see it. */
export type Reservation = {
  /** Whether the promise may not be kept: buyers are not shown the offer any more, for whatever reason, or fewer units are there than it keeps. A confirmed reservation stands all the same; whether to ship is for the order system to say. */
  at_risk: boolean
  /** The basket that it is a line of. */
  basket?: BasketId | null
  /** When what it keeps lapses, unless it is confirmed. */
  expires_at?: Timestamp | null
  /** Units that it keeps by itself: all until an order names it, then what no line of that order has taken. */
  kept: number
  listing: ListingId
  /** The order it has become. */
  order?: OrderId | null
  quantity: number
  reservation: ReservationId
  state: ReservationState
  supplier: SupplierId
}

/** A reservation: units held for a buyer. It begins with its supplier's id, so that any replica finds its partition. */
export type ReservationId = string

/** Where a reservation is in its life. */
export type ReservationState = "held" | "confirmed" | "ordered" | "cancelled" | "released" | "lapsed"

export type ReservationsQuery = {
  /** `next` of the page before. */
  cursor?: string | null
  /** Items on the page; 50 when nobody says. */
  limit?: number | null
  /** Only those of this supplier. */
  supplier?: SupplierId | null
}

export type Reserve = {
  listing: ListingId
  quantity: number
  /** Where the units are to go; needed where some regions that the listing serves are not available. */
  region?: Region | null
  /** How long the units are held; 900 when nobody says. */
  seconds?: number | null
  supplier: SupplierId
}

export type ReserveBasket = {
  lines: Array<ReserveLine>
  mode: BasketMode
  /** How long the units are held; 900 when nobody says. */
  seconds?: number | null
}

/** A listing with its supplier, or a good of which the cheapest offer that has enough is chosen. */
export type ReserveLine = {
  /** Of a good: only offers in this currency. Without one, prices of different currencies are not compared: offers of the currency whose code is first in the alphabet are taken first. */
  currency?: Currency | null
  /** The good by its GTIN, whatever SKU it has; needs `region`. */
  gtin?: string | null
  /** Which; with `supplier`. */
  listing?: ListingId | null
  /** Of a good: only offers of so many minor units a unit, or less; needs `currency`. */
  max_price?: number | null
  quantity: number
  /** Where the units are to go; needed of a good, and where some regions that the listing serves are not available. */
  region?: Region | null
  /** The good, instead of a listing: whoever offers it; needs `region`. */
  sku?: Sku | null
  /** Whose; with `listing`. */
  supplier?: SupplierId | null
}

/** One listing, or lines. */
export type ReserveOneOrLines = Reserve | ReserveBasket

/** What is held: one reservation, or a basket of them, as it was asked for. */
export type Reserved = Reservation | Basket

export type RestoreRule = {
  /** Whether what a person confirmed is released as well. */
  confirmed?: boolean
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
  /** What the rule imposed from then on; all that is in force when absent. */
  since?: Timestamp | null
  /** Whether the rule, as it is written now, does nothing any more until it is rearmed. */
  stop?: boolean
}

/** A restriction in force. */
export type Restriction = {
  /** The person, absent for a rule's decision. */
  actor?: string | null
  /** The level that its rule asked for, where it is only watched because what the rule measures by is suspect. */
  asked?: Level | null
  /** Whether it rests on links to others: it ends when these do. */
  by_association?: boolean
  /** The event that set it off. */
  cause?: Cause | null
  /** The person who found it right. */
  confirmed?: Confirmed | null
  /** What would have had to differ. */
  counterfactuals?: Array<Counterfactual>
  /** Evidence count at the time. */
  evidence: number
  /** Until when; expiry is decided on a tick. */
  expires_at: Timestamp
  /** Whether it was only dimmed to keep evidence of the rule's precision. */
  holdout?: boolean
  /** Its id, unique for ever. */
  id: string
  /** How hard it bites. */
  level: Level
  /** Stable reason codes. */
  reasons: Array<string>
  /** When a person should look at it. */
  review_at: Timestamp
  /** The rule, absent for a person's decision. */
  rule?: RuleRef | null
  /** What it covers. */
  scope: Scope
  /** Since when, record time. */
  since: Timestamp
  /** What the supplier is told beside the codes. */
  text?: string
  /** The condition tree with the value of each branch. */
  tree?: Array<string>
  /** Feature values seen. */
  values?: Record<string, number>
  /** The position that imposed it. */
  version: Position
  /** Who vouches for the outcomes that were counted; empty when none were. */
  vouched?: Array<VouchedBy>
}

/** What a supplier is told: what, why, since when, until when. Never thresholds or rules. */
export type RestrictionFacts = {
  decision: string
  expires_at: Timestamp
  level: Level
  reasons: Array<string>
  review_at: Timestamp
  scope: Scope
  since: Timestamp
  text: string
  /** Who vouches for what was counted. */
  vouched: Array<VouchedBy>
}

/** Something that waits for a person. */
export type Review = {
  /** Who wrote the appeal. */
  appellant?: string | null
  /** Who is at it. */
  claim?: Claim | null
  /** By when a person should have looked. */
  due_at: Timestamp
  /** Its id. */
  id: string
  /** Why it waits. */
  kind: ReviewKind
  /** Since when. */
  opened_at: Timestamp
  /** What a rule asked for and did not get. */
  proposal?: RuleProposal | null
  /** The restriction, where one is in force. */
  restriction?: Restriction | null
  /** The supplier. */
  supplier: SupplierId
  /** What the supplier says, or which budget was exceeded. */
  text?: string
}

/** A review with what a person needs to decide: what buyers would lose, and what else is known. */
export type ReviewDescribed = {
  /** Who wrote the appeal. */
  appellant?: string | null
  /** Who is at it. */
  claim?: Claim | null
  /** By when a person should have looked. */
  due_at: Timestamp
  /** Its id. */
  id: string
  impact: Impact
  /** Why it waits. */
  kind: ReviewKind
  /** Since when. */
  opened_at: Timestamp
  /** What a rule asked for and did not get. */
  proposal?: RuleProposal | null
  /** The restriction, where one is in force. */
  restriction?: Restriction | null
  risk: Risk | null
  /** The supplier. */
  supplier: SupplierId
  /** What the supplier says, or which budget was exceeded. */
  text?: string
}

/** Why something waits, the most urgent first. */
export type ReviewKind = "appeal" | "excess" | "decision" | "watch"

export type ReviewQuery = {
  kind?: ReviewKind | null
  limit?: number | null
  supplier?: SupplierId | null
}

export type Reviews = {
  /** How many of those asked for are open. */
  open: number
  /** The most urgent first. */
  reviews: Array<Review>
}

/** How suspicious a supplier is, and what that is made of. */
export type Risk = {
  /** Share of the features that are known, by what they weigh. */
  confidence: number
  contributions: Array<Contribution>
  /** Every feature by its name; null where it is unknown. */
  features: Record<string, number | null>
  /** Suppliers it shares attributes with. */
  links: unknown
  score: number
  supplier: SupplierId
}

/** One change to one listing, location or reservation. */
export type Row = ListingPut | StockChange | {
  /** The listing. */
  listing: ListingId
  op: "withdraw"
  /** The supplier's own sequence for this listing, if it keeps one. */
  source_seq?: number | null
} | LocationPut | {
  /** What its owner may hold of the listing without confirming; absent in records of builds that knew no bound. */
  bound?: HoldBound | null
  /** When the hold lapses by itself. */
  expires_at: Timestamp
  /** The listing. */
  listing: ListingId
  op: "hold"
  /** Name of the key that made the reservation; nobody else may act on it; absent in records of builds that knew no owners. */
  owner?: string | null
  /** Units held. */
  quantity: number
  /** Where the units are to go; absent means anywhere that the listing serves. */
  region?: Region | null
  /** Hash of what was asked for: the same reservation asked for with another one is a conflict. */
  request?: string | null
  /** Name of the reservation. */
  reservation: ReservationId
} | {
  op: "confirm"
  /** Name of the caller's key; absent in records of builds that knew no owners. */
  owner?: string | null
  /** Name of the reservation. */
  reservation: ReservationId
} | {
  op: "release_hold"
  /** Name of the caller's key; absent in records of builds that knew no owners. */
  owner?: string | null
  /** Name of the reservation. */
  reservation: ReservationId
} | LineRow

/** The answer for one row. */
export type RowOutcome = {
  /** Units available to buyers after the row, for listings. */
  available?: number | null
  /** Stable code of the reason, when not applied. */
  code?: string | null
  /** The reason for people. */
  detail?: string | null
  /** The offending field as a JSON pointer into the row. */
  field?: string | null
  /** Position of the row in the request, from 0. */
  row: number
  /** What became of it. */
  status: RowStatus
  /** What became of the stock that a listing was put with, when it was left alone: `superseded` or `replayed`, because the stock has a sequence of its own that is ahead. */
  stock?: RowStatus | null
  /** The listing, location or reservation it was about. */
  subject?: string
}

/** What became of one row. */
export type RowStatus = "applied" | "replayed" | "superseded" | "conflict" | "invalid"

/** What one rule would have done. */
export type RuleBacktest = {
  /** When it first held, supplier by supplier. */
  first: Array<unknown>
  level: Level
  mode: Mode
  /** Suppliers by what became of them. */
  outcomes: Record<string, number>
  /** What it has in common with the rules in force. */
  overlap: Array<unknown>
  rule: RuleId
  snapshots: number
  suppliers: number
  /** What other bounds would have done. */
  sweep: Array<unknown>
}

/** What became of what a rule proposed in a day (UTC). */
export type RuleDay = {
  /** Appealed against. */
  appealed: number
  /** Found right by a person. */
  confirmed: number
  /** Run out. */
  expired: number
  /** Those that were only dimmed as holdout. */
  holdout: number
  /** Restrictions that began. */
  imposed: number
  /** Held back by a budget. */
  over_budget: number
  /** Lifted because of an appeal. */
  overturned: number
  /** Lifted by a person. */
  released: number
  /** Those of them that withhold offers. */
  withheld: number
}

export type RuleDayFared = {
  counts: RuleDay
  day: Timestamp
  shadow: ShadowDay
}

export type RuleDays = {
  /** Days looked back on; 30 when nobody says. */
  days?: number
}

/** What is wrong with a rule set, or only suspicious, and where. */
export type RuleError = {
  /** Stable code: `syntax`, `unknown_name`, `unknown_function`, `type`, `bad_window`, `bad_pattern`, `unsupported`, `not_scalar`, `too_large`, `not_a_condition`, `refers_to_itself`, `association_alone`, `unknown_alone`, `contradiction`, `expired`, `example_failed`, `bad_set`. Of a warning: `never_holds`, `always_holds`, `impossible_constant`. */
  code: string
  /** Column in the expression, from 1, in characters and without the indentation of the expression; without a rule, in the source. */
  column: number
  /** What is wrong, what it concerns, and what to do. */
  detail: string
  /** Line in the expression as it is written, from 1; without a rule, in the source. */
  line: number
  /** The rule, or `let NAME`; absent when the set itself does not parse. */
  rule: string | null
  /** Column in that line, from 1, in characters. */
  source_column?: number | null
  /** Line in the YAML of the set, from 1; absent when an expression was given without one. */
  source_line?: number | null
  /** What was probably meant. */
  suggestion?: string | null
  /** What stands there. */
  text?: string
}

export type RuleExplained = {
  content: string
  counterfactuals: Array<Counterfactual>
  mode: Mode
  rule: RuleId
  tree: Array<string>
  truth: Truth
  values: Record<string, number>
  version: string
  /** Who vouches for the outcomes that it counts. */
  vouched: Array<VouchedBy>
}

export type RuleHistory = {
  confirmed: number
  days: Array<RuleDayFared>
  /** What holds it back, if anything does: a budget, suspect evidence, or a person. */
  exceeded: Exceeded | null
  /** Share of what people looked at that they found right; says nothing while they looked at nothing. */
  precision: number | null
  released: number
  rule: string
}

/** The name of a lockout rule. */
export type RuleId = string

/** What a true rule asks for, with everything needed to explain it later. */
export type RuleProposal = {
  /** How much the rule may withhold. */
  budget?: Budget | null
  /** How much all rules together may withhold. */
  budget_of_all?: Budget | null
  /** How many suppliers all rules together may newly cap, limit or dim; the arbiter's own number when absent. */
  budget_of_caps?: Budget | null
  /** Whether the rule would not hold without what is known of links to others. */
  by_association?: boolean
  /** What would have had to differ. */
  counterfactuals?: Array<Counterfactual>
  /** How long, in milliseconds. */
  duration_ms: number
  /** The evidence count: after a release the rule stays mute until this has grown. */
  evidence: number
  /** Whether the supplier is of the share that is only dimmed, to keep evidence of the rule's precision. */
  holdout?: boolean
  /** Up to how many milliseconds later it begins, where it withholds nothing, so that who probes cannot tell by what. */
  jitter_ms?: number
  /** How hard. */
  level: Level
  /** Stable reason codes. */
  reasons: Array<string>
  /** The rule. */
  rule: RuleRef
  /** What to cover. */
  scope: Scope
  /** The supplier. */
  supplier: SupplierId
  /** What the supplier is told beside the codes. */
  text?: string
  /** The condition tree with the value of each branch, as text lines. */
  tree: Array<string>
  /** How many suppliers restricted by one kind of evidence are never taken for a sign that it is wrong; the arbiter's own number when absent. */
  trust_up_to?: number | null
  /** Every feature the rule read, by name, with the value seen. */
  values: Record<string, number>
  /** Who vouches for the outcomes that the rule counted; empty when it counted none. */
  vouched?: Array<VouchedBy>
}

export type RuleRearmed = {
  rule: RuleId
}

/** A rule and the content-hashed set it came from. */
export type RuleRef = {
  /** Content hash of the rule itself: the same in every set in which it is written the same. */
  content?: string
  /** The rule. */
  id: RuleId
  /** Content hash of its set. */
  version: string
}

/** What restoring everyone came to so far. */
export type RuleRestored = {
  /** What all these decisions have in common: their `act`. */
  act: string
  /** Reviews of what a budget had held back of the rule that were dismissed by now. */
  dismissed: number
  /** Restrictions that stay, for a person confirmed them. */
  kept: number
  /** Restrictions that were released by now. */
  released: number
  /** What is left: it goes on by itself, within seconds. */
  remaining: number
  rule: RuleId
  /** Whether the rule does nothing any more until it is rearmed. */
  stopped: boolean
  /** Suppliers that they were of. */
  suppliers: number
}

/** What a hit covers. */
export type RuleScope = "supplier" | "listing" | "sku"

/** A set, as it stands or as it was checked. */
export type RuleSet = {
  rules: Array<RuleSpec>
  source: string
  version: string
  /** What compiles and yet is hardly meant. */
  warnings: Array<RuleError>
}

/** The set in force, and what holds it back. */
export type RuleSetInForce = {
  /** What holds rules of this set back until they are rearmed or written otherwise: a budget that was exceeded, suspect evidence, or a person. */
  exceeded: Record<string, Exceeded>
  /** The kill switch, while it is on. */
  kill_switch: Kill | null
  rules: Array<RuleSpec>
  source: string
  /** Who rolled back to this set alone, if that is how it came into force. */
  stepped_back: StepBack | null
  version: string
  /** What compiles and yet is hardly meant. */
  warnings: Array<RuleError>
}

export type RuleSetVersion = {
  approver: string | null
  at: Timestamp
  author: string
  base: string | null
  note: string
  version: string
}

export type RuleSetVersionInForce = {
  approver?: string | null
  version: string
}

export type RuleSetVersions = {
  /** What rolling back goes through, the one in force last. */
  stack: Array<string>
  /** The newest first. */
  versions: Array<RuleSetVersion>
}

export type RuleSetWhich = {
  version: string
}

/** One rule as written. */
export type RuleSpec = {
  /** How much this rule may withhold. */
  budget?: BudgetSpec | null
  /** Share of suppliers for whom a canary is live, above 0 and below 100. */
  canary_percent?: number | null
  /** The condition, in CEL, under which what the rule imposed ends before its time, unless a person confirmed it. */
  cure?: string | null
  /** A feature whose growth is new evidence: after a release the rule stays mute until it has grown. */
  evidence: string
  /** What must come out as written before the set is used. */
  examples?: Array<Example>
  /** From then on it is off. */
  expires?: Timestamp | null
  /** How many false alarms are accepted, such as `1 per 10000 supplier-years`: a bound on the odds that `evidence` names, which joins `when`. */
  false_alarms?: string | null
  /** What a rule that withholds rests on when it promises no bound on false alarms. */
  floor?: Floor | null
  /** How long, such as `12h` or `7d`. */
  for: string
  /** Share of hits, above 0 and up to 50, that are only dimmed, always the same suppliers: what becomes of them tells how right the rule is. */
  holdout_percent?: number | null
  /** Its name. */
  id: RuleId
  /** How hard it bites. */
  level: Level
  /** Whether it acts. */
  mode: Mode
  /** Why it is as it is. */
  notes: string
  /** Who looks after it. */
  owner: string
  /** Stable reason codes shown to the supplier. */
  reasons: Array<string>
  /** The rule that this one is meant to replace: what shadow compares it with. */
  replaces?: RuleId | null
  /** What it covers. */
  scope: RuleScope
  /** What the supplier is told beside the codes. */
  text?: string
  /** One line for people. */
  title: string
  /** The condition, in CEL. With `false_alarms` it may be left out: then the bound is all there is. */
  when: string
}

/** A rule set that is, was or may come into force. */
export type RuleVersion = {
  /** Who approved it, where four eyes were asked for. */
  approver?: string | null
  /** When it first came into force, or was proposed. */
  at: Timestamp
  /** Who wrote it. */
  author: string
  /** The version it was written against. */
  base?: string | null
  /** Why. */
  note: string
  /** The YAML. */
  source: string
  /** Content hash. */
  version: string
}

/** What a person's proposal came to. */
export type Ruled = {
  /** What is in force for the supplier now. */
  in_force?: Array<Restriction> | null
  /** Id of its record. */
  proposal: string
  /** The review it was about, if any. */
  review: string | null
  supplier: SupplierId | null
}

export type RulesExplained = {
  rules: Array<RuleExplained>
  supplier: SupplierId
}

export type RulesPublish = {
  /** Why, for those who come after. */
  note?: string
}

export type RulesRollBack = {
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
  to?: string | null
}

/** How much is put off: everything on this rung and below. */
export type Rung = "calm" | "analyses" | "imports" | "streams" | "suspect" | "new" | "bulk" | "rows"

/** One process. */
export type RunningInstance = {
  /** Its folds. */
  folds: Array<FoldOfInstance>
  /** Whether it is the process that answers. */
  here: boolean
  /** Where it calls Kafka from; null where the log is embedded. */
  host: string | null
  /** The name it has in the log: `kafka.instance` on Kafka, other at each start on an embedded log. */
  instance: string
  /** What runs in it, by the folds it takes part in: of `inventory`, `scoring` and `lockout`. */
  roles: Array<string>
}

export type SandboxRestrict = {
  /** How hard. */
  level: Level
}

/** What a restriction covers. */
export type Scope = {
  kind: "supplier"
} | {
  kind: "region"
  /** The region. */
  region: Region
} | {
  kind: "sku"
  /** The good. */
  sku: Sku
} | {
  kind: "listing"
  /** The listing. */
  listing: ListingId
}

/** What a supplier offers, as buyers see it. */
export type SeenOffer = {
  /** Units that may be reserved. */
  available: number
  /** As GTIN-14, where it has one. */
  gtin: string | null
  /** Days until hand-over. */
  lead_days: number
  listing: ListingId
  price: Money
  /** Regions it may be sent to. */
  regions: Array<Region>
  sku: Sku
  supplier: SupplierId
}

export type SettleReview = {
  finding: FindingRequest
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
}

/** How bad it is. */
export type Severity = "refused" | "warning"

/** How a rule that does not act, for anybody or for a supplier, compares on the same snapshots with those that do. */
export type ShadowDay = {
  /** Snapshots for which the rule it is to replace, or else any rule that acts, is true as well. */
  agreed: number
  /** Snapshots for which it is true. */
  hits: number
  /** Snapshots for which the rule that it is to replace is true and it is not. */
  only_live: number
  /** Snapshots for which it alone is true. */
  only_shadow: number
  /** Suppliers for whom it was true that day. */
  suppliers: number
}

/** What signs in. */
export type SignIn = {
  /** What stands behind `#` in the link. */
  token: string
}

/** Who is signed in. */
export type SignedIn = {
  /** What calls that change something must send as `stockade-csrf`. */
  csrf: string
  /** When the session ends, in milliseconds since 1970. */
  ends: number
  /** When it ends if it is not used until then, in milliseconds since 1970. */
  idle_ends: number
  /** The person, as audits name them. */
  name: string
  /** The time at the server, in milliseconds since 1970. */
  now: number
  /** What they may do: `supplier`, `buyer`, `analyst`, `approver` or `operator`. */
  role: string
  /** The supplier, for the role `supplier`. */
  supplier?: string | null
}

/** The marketplace's stock keeping unit, shared by all suppliers of the same good. */
export type Sku = string

export type SnoozeRule = {
  expires_at: Timestamp
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
  supplier: SupplierId
}

/** How answers are sorted. */
export type Sort = "price" | "lead" | "distance"

export type Standing = {
  in_force: Array<RestrictionFacts>
  /** The hardest level in force; none when nothing is. */
  level: Level | null
  supplier: SupplierId
}

export type Statement = {
  automated: StatementAutomated
  decision: string
  facts: StatementFacts
  ground: StatementGround
  in_force: boolean
  issued_at: Timestamp
  law: Array<string>
  origin: StatementOrigin
  redress: StatementRedress
  restriction: StatementRestriction
  supplier: SupplierId
}

/** Whether machines had a part in it. */
export type StatementAutomated = {
  decision: boolean
  detection: boolean
}

/** Facts and circumstances that were relied on. */
export type StatementFacts = {
  counted: Array<Counted>
  text: string
  vouched: Array<VouchedBy>
}

/** On what the restriction rests: terms of the marketplace, by the stable codes of its reasons. */
export type StatementGround = {
  kind: string
  reasons: Array<string>
}

/** How the matter came up. */
export type StatementOrigin = "own_initiative" | "person"

/** What the supplier can do. */
export type StatementRedress = {
  appeal: string
  courts: string
  how: string
}

/** What is restricted, where, from when until when. */
export type StatementRestriction = {
  covers: string
  from: Timestamp
  level: Level
  /** By when a person looks at it, if nobody has before. */
  review_at: Timestamp
  scope: Scope
  until: Timestamp
  what: string
}

/** A rollback to the set in force just before that one person made alone. */
export type StepBack = {
  /** Who. */
  actor: string
  /** When. */
  at: Timestamp
  /** Why. */
  reason: string
}

/** A stock change, without the listing's id: exactly one of `set` and `adjust`. */
export type StockBody = {
  /** Units more, or less. */
  adjust?: number | null
  /** Units on the shelf now; this or `adjust`. */
  set?: number | null
  /** Your own count of changes of this listing; what is older loses. */
  source_seq?: number | null
}

/** A change of stock. An older `source_seq` loses (`superseded`), an equal one is `replayed`. */
export type StockChange = {
  /** The listing. */
  listing: ListingId
  /** The market the API saw when it accepted the row. */
  market?: MarketSeen | null
  /** Set or adjust. */
  mode: StockMode
  /** Units. */
  quantity: number
  /** The supplier's own sequence for this listing, if it keeps one. */
  source_seq?: number | null
}

/** What a supplier's stock figures count: whether goods that are ordered and not yet shipped are in `on_hand`. */
export type StockCounts = "including_ordered" | "excluding_ordered"

/** What buyers would no longer see. */
export type StockImpact = {
  /** The first of them. */
  empty: Array<[Sku, Region]>
  /** Goods that nobody else offers. */
  goods_empty: number
  /** Offers. */
  listings: number
  /** Goods in a region that nobody else offers there. */
  places_empty: number
  /** Units. */
  units: number
  /** Their value in minor units, by currency. */
  value_minor: Record<string, number>
}

/** How a stock change is meant. */
export type StockMode = "set" | "adjust"

/** `stock` in a batch. */
export type StockRow = {
  /** Units more, or less. */
  adjust?: number | null
  listing: ListingId
  op: "stock"
  /** Units on the shelf now; this or `adjust`. */
  set?: number | null
  /** Your own count of changes of this listing; what is older loses. */
  source_seq?: number | null
}

/** What a change is about. One draft waits for each. */
export type Subject = {
  about: "rules"
} | {
  about: "features"
} | {
  about: "models"
} | {
  about: "four_eyes"
} | {
  about: "budget"
  /** The rule. */
  rule: string
}

/** A supplier with its locations. */
export type Supplier = {
  locations: Array<LocationPut>
  profile: SupplierProfile
}

/** A supplier of the marketplace: the key of `supplier.events`. */
export type SupplierId = string

/** A registered supplier. */
export type SupplierProfile = {
  /** Class for rate limits, such as `standard` or `large`. */
  class: string
  /** Its name for people. */
  name: string
  /** Home region. */
  region: Region
  /** Since when it trades on the marketplace, which may be before Stockade knew of it. */
  since: Timestamp
  /** What its stock figures count. */
  stock_counts: StockCounts
  /** Its id. */
  supplier: SupplierId
}

/** What is read of a window. */
export type Take = "count" | "buyers" | "sum" | "mean" | "rate" | "rate_low"

/** A text taken from a column, given, or put together. */
export type Text = {
  /** The column. */
  column: string
  /** Put before it. */
  prefix?: string
} | {
  /** The text. */
  constant: string
} | {
  /** The texts. */
  join: Array<Text>
}

/** A time: RFC 3339, in UTC. */
export type Timestamp = string

/** What a condition says about a snapshot. */
export type Truth = "true" | "false" | "unknown"

export type TurnSwitch = {
  on: boolean
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
}

/** Who vouches for outcomes that a rule counted. */
export type VouchedBy = "attested" | "witnessed" | "claimed"

/** It waits for a second person. */
export type WaitsForApproval = {
  detail: string
  draft: string
  /** What of a rule set compiles and yet is hardly meant. */
  warnings?: Array<RuleError>
}

/** An endpoint as its owner sees it. */
export type Webhook = {
  /** Why nothing can be sent to its address as this server is set up now, as to one on this machine once the server is not set up to try webhooks there any more. Deliveries wait and are tried again. */
  address_refused?: string | null
  created_at: Timestamp
  description: string | null
  /** Since when and why it is told nothing. */
  disabled?: WebhookDisabled | null
  /** Deliveries dropped unsent since it was made, because too many waited. */
  dropped: number
  enabled: boolean
  /** What it hears of; everything that its owner may when empty. */
  events: Array<string>
  /** Deliveries that were given up and can still be asked for again. */
  failed: number
  /** Since when every attempt has failed. */
  failing_since: Timestamp | null
  /** Failed attempts since the last that was taken. */
  failures: number
  /** Until when the secret before signs as well. */
  former_secret_until?: Timestamp | null
  /** When something was last taken. */
  last_taken_at: Timestamp | null
  /** What signatures are made with. Shown once, when it is made. */
  secret?: string | null
  url: string
  /** Deliveries that wait. */
  waiting: number
  webhook: string
}

/** One attempt. */
export type WebhookAttempt = {
  /** When it ended. */
  at: Timestamp
  /** What to know of the failure. */
  detail?: string
  /** Why it failed; absent when it was taken. */
  failure?: AttemptFailure | null
  /** How long it took. */
  latency_ms: number
  /** The status it was answered with. */
  status?: number | null
}

/** What was begun. */
export type WebhookBegun = {
  /** Where to look what became of it. */
  deliveries: string
  /** The delivery that will be tried. */
  delivery: string | null
  webhook: string
}

/** One delivery. */
export type WebhookDelivery = {
  /** Attempts ever; the last of them follow. */
  attempts: number
  /** What is sent. */
  body: unknown
  /** Its name: `webhook-id` in what is sent. */
  delivery: string
  event: string
  happened_at: Timestamp
  last_attempts: Array<WebhookAttempt>
  /** When it is tried next. */
  next_attempt_at?: Timestamp | null
  owed_at: Timestamp
  state: WebhookDeliveryState
}

/** Where a delivery stands. */
export type WebhookDeliveryState = "waiting" | "delivered" | "failed"

/** Since when and why an endpoint is told nothing. */
export type WebhookDisabled = {
  at: Timestamp
  reason: string
}

/** A condition on a column. */
export type When = {
  /** The column. */
  column: string
  /** Its values, in whatever case. */
  in: Array<string>
}

/** A body that says nothing but why. */
export type Why = {
  /** Why a person does something, as it stands in a body under `reason`. It says nothing before it was judged, so that no call can take an empty one. */
  reason: string
}

/** `withdraw` in a batch. */
export type WithdrawRow = {
  listing: ListingId
  op: "withdraw"
  source_seq?: number | null
}
