//! The headers of a record as read, and beside them what its first reader in this process made of the record.

use std::{
    any::Any,
    borrow::Cow,
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

type Header = (Cow<'static, str>, Bytes);

#[derive(Default)]
struct Inner {
    list: Vec<Header>,
    opened: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// Headers in order. Copies of a record share them.
#[derive(Clone, Default)]
pub struct Headers(Arc<Inner>);

impl Headers {
    /// What `open` makes of the record: asked once, whoever else asks of a copy is given the same. So several folds of a
    /// process read a record once. `None` when somebody has made something of another type of it.
    pub fn opened<T: Any + Send + Sync>(&self, open: impl FnOnce() -> T) -> Option<&T> {
        self.0.opened.get_or_init(|| Box::new(open())).downcast_ref()
    }

    /// The same headers without what was made of the record: for who keeps records longer than their readers need them.
    #[must_use]
    pub fn unopened(&self) -> Self {
        self.iter().cloned().collect()
    }
}

impl Deref for Headers {
    type Target = [Header];
    fn deref(&self) -> &[Header] {
        &self.0.list
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Self {
        Self(Arc::new(Inner { list: headers.into_iter().collect(), opened: OnceLock::new() }))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_opened_once_for_all_its_copies_and_anew_for_whoever_keeps_it() {
        let headers: Headers = [("name".into(), Bytes::from_static(b"value"))].into_iter().collect();
        let copy = headers.clone();
        assert_eq!(headers.opened(|| 7_u32), Some(&7));
        assert_eq!(copy.opened(|| 8_u32), Some(&7));
        assert_eq!(copy.opened(|| "another type"), None);
        let kept = copy.unopened();
        assert_eq!(kept.opened(|| 8_u32), Some(&8));
        assert_eq!((kept[0].0.as_ref(), kept[0].1.as_ref()), ("name", &b"value"[..]));
    }
}
