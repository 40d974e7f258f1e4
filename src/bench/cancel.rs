//! Ending a bench early: by a signal, or because it hurts somebody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A flag that every loop of a bench looks at between two operations.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    signal: Arc<AtomicBool>,
    abort: Arc<OnceLock<String>>,
}

impl Cancel {
    /// Ends when `signal` is set, as a signal handler does.
    pub fn on(signal: Arc<AtomicBool>) -> Self {
        Cancel {
            signal,
            abort: Arc::default(),
        }
    }

    /// Ends the bench for a reason. The first reason stays.
    pub fn abort(&self, why: impl Into<String>) {
        self.abort.set(why.into()).ok();
    }

    /// Whether to end now.
    pub fn stopped(&self) -> bool {
        self.signal.load(Ordering::Relaxed) || self.abort.get().is_some()
    }

    /// Why it ended, in words, when it did.
    pub fn reason(&self) -> Option<String> {
        if let Some(why) = self.abort.get() {
            return Some(why.clone());
        }
        self.signal
            .load(Ordering::Relaxed)
            .then(|| "interrupted by a signal".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays_and_stands_above_a_signal() {
        let signal = Arc::new(AtomicBool::new(false));
        let cancel = Cancel::on(Arc::clone(&signal));
        assert!(!cancel.stopped());
        assert_eq!(cancel.reason(), None);
        signal.store(true, Ordering::Relaxed);
        assert_eq!(cancel.reason().unwrap(), "interrupted by a signal");
        let guard = cancel.clone();
        guard.abort("etcd suffers");
        cancel.abort("later");
        assert_eq!(cancel.reason().unwrap(), "etcd suffers");
    }
}
