//! How user code fails: `Err`, panic, or arguments that cannot be read; and the hook that remembers
//! where a panic happened.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::Error;
use crate::executor::Leaving;

/// Why a call failed where it ran.
#[derive(Debug)]
pub struct CallError {
    message: String,
    location: Option<String>,
    /// An error that is passed on as it is.
    error: Option<Error>,
}

impl CallError {
    /// Makes the failure of a method that returned an `Err`.
    pub fn user(message: impl fmt::Display) -> Self {
        // A `Display` of the user's that fails or panics must not take the worker with it.
        let text = catch(|| {
            let mut text = String::new();
            let _ = fmt::Write::write_fmt(&mut text, format_args!("{message}"));
            text
        });
        match text {
            Ok(message) => CallError { message, location: None, error: None },
            Err(panicked) => panicked,
        }
    }

    /// Makes the failure of a call that reached an object of another class.
    pub fn wrong_state() -> Self {
        CallError { message: "the actor's state is of another class".into(), location: None, error: None }
    }

    pub(crate) fn argument(what: &str, error: &Error) -> Self {
        let message = format!("the argument `{what}` cannot be read: {error}");
        let passed_on = error.is_invalid_argument() || error.is_system();
        CallError { message, location: None, error: (!passed_on).then(|| error.clone()) }
    }

    pub(crate) fn result(error: &Error) -> Self {
        CallError { message: format!("the result cannot be sent: {error}"), location: None, error: None }
    }

    pub(crate) fn passed_on(error: Error) -> Self {
        CallError { message: error.to_string(), location: None, error: Some(error) }
    }

    /// Makes the caller's error.
    pub(crate) fn into_error(self, function: impl FnOnce() -> String) -> Error {
        match self.error {
            Some(error) => error,
            None => Error::task_failed(function(), self.message, self.location),
        }
    }

    /// Makes the text of a failed creation.
    pub(crate) fn into_message(self) -> String {
        match self.location {
            Some(place) => format!("new panicked at {place}: {}", self.message),
            None => self.message,
        }
    }
}

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics of this process remember where they happened; they are still printed as before.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            let _ = LAST.try_with(|last| {
                if let Ok(mut last) = last.try_borrow_mut() {
                    *last = place;
                }
            });
            before(info);
        }));
    });
}

/// Runs user code; a panic becomes an error with its message and place.
///
/// What `exit_actor` unwinds ends here, too: the scope says that it was called.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, CallError> {
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let payload = match payload.downcast::<Leaving>() {
            Ok(leaving) => {
                leaving.catch();
                return CallError { message: "exit_actor was called".into(), location: None, error: None };
            }
            Err(payload) => payload,
        };
        let location = LAST.try_with(|last| last.try_borrow_mut().ok().and_then(|mut last| last.take()));
        let message = message(&*payload);
        // The payload's own drop may panic, too.
        if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        CallError {
            message,
            location: Some(location.ok().flatten().unwrap_or_else(|| "unknown place".into())),
            error: None,
        }
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "the panic carries no text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_keeps_its_message_and_place() {
        install_hook();
        let failed = catch(|| panic!("boom {}", 7)).unwrap_err();
        let error = failed.into_error(|| "f".into());
        let failure = error.task_failure().unwrap();
        assert_eq!(failure.message, "boom 7");
        assert!(failure.location.as_deref().unwrap().contains("panics.rs"), "{failure:?}");
    }

    #[test]
    fn a_payload_without_text_is_no_trouble() {
        let failed = catch(|| panic::panic_any(7)).unwrap_err();
        assert!(failed.into_message().contains("no text"));
    }
}
