//! What the judge, a codec or the server itself said when it panicked.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether panics of this thread are kept, and the last one.
    static KEPT: RefCell<Option<Complaint>> = const { RefCell::new(None) };
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// File and line: the same complaint comes from the same place.
    pub(crate) place: String,
    pub(crate) text: String,
}

/// What this thread said when it panicked last.
pub(crate) fn last_panic() -> String {
    KEPT.with_borrow(|kept| {
        let kept = kept.clone().unwrap_or_default();
        format!("{} ({})", kept.text, kept.place)
    })
}

/// Calls, and keeps what it says if it panics, in silence.
pub(crate) fn listen<T>(call: impl FnOnce() -> T) -> Result<T, Complaint> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_kept = KEPT.with_borrow_mut(|kept| {
                let Some(kept) = kept else { return false };
                let place = info.location();
                kept.place =
                    place.map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
                let payload = info.payload();
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
                kept.text = text.unwrap_or("(no text)").to_owned();
                true
            });
            if !is_kept {
                before(info);
            }
        }));
    });
    let outer = KEPT.replace(Some(Complaint::default()));
    let result = catch_unwind(AssertUnwindSafe(call));
    let kept = KEPT.replace(outer).unwrap_or_default();
    result.map_err(|_| kept)
}
