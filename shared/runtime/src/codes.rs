//! Every code that the platform answers with: what it means and what to do about it. Codes are stable; programs are scripted
//! against them. [`all`] is the one list: the API's document is made from it, and a test looks for codes in the source that it lacks.

mod of_fields;
mod of_problems;

/// One code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code.
    pub code: &'static str,
    /// The HTTP status of the problem that bears it. `None` for codes that stand only within an answer: of one field, one row, one
    /// event, or one line of a file.
    pub status: Option<u16>,
    /// What happened.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// A line of the lists of problems.
const fn problem(status: u16, code: &'static str, meaning: &'static str, remedy: &'static str) -> Code {
    Code { code, status: Some(status), meaning, remedy }
}

/// A line of the lists of what is said within answers.
const fn within(code: &'static str, meaning: &'static str, remedy: &'static str) -> Code {
    Code { code, status: None, meaning, remedy }
}

/// All of them, those of problems first.
pub fn all() -> impl Iterator<Item = &'static Code> {
    of_problems::CODES.iter().chain(of_fields::CODES)
}

/// A code by its name.
pub fn find(code: &str) -> Option<&'static Code> {
    all().find(|known| known.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_stands_once_and_says_what_it_means_and_what_to_do() {
        let mut seen = BTreeSet::new();
        for code in all() {
            assert!(seen.insert(code.code), "{} stands twice", code.code);
            // A sentence may begin with a name as it is written.
            let begins = |first: char| first.is_uppercase() || first == '`';
            let sentence = |text: &str| text.starts_with(begins) && text.ends_with('.');
            assert!(sentence(code.meaning), "{}: {}", code.code, code.meaning);
            assert!(sentence(code.remedy), "{}: {}", code.code, code.remedy);
            assert!(code.status.is_none_or(|status| (400..600).contains(&status)), "{}", code.code);
        }
    }
}
