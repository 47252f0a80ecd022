//! Panics of user code, with their place.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    static CAPTURING: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs user code; a panic comes back as its message with file and line instead of on stderr.
pub fn catch<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| if CAPTURING.get() { remember(info) } else { previous(info) }));
    });
    let outer = CAPTURING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(code));
    CAPTURING.set(outer);
    result.map_err(|payload| {
        let message = message(payload.as_ref());
        match PLACE.take() {
            Some(place) => format!("{message} (at {place})"),
            None => message,
        }
    })
}

fn remember(info: &PanicHookInfo<'_>) {
    PLACE.replace(info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column())));
}

/// The text of a panic's payload.
fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic whose payload is no text".to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_comes_back_with_its_place() {
        let text = super::catch(|| panic!("bang {}", 5)).unwrap_err();
        assert!(text.starts_with("bang 5 (at ") && text.contains("panic.rs:"), "{text}");
    }
}
