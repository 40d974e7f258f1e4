//! The log-in of a load: one token for all connections, renewed when etcd does not take it any more.
//!
//! A simple token ends five minutes after its last use, a JWT after its `ttl` whatever happens, and both when
//! users or roles are changed. etcd's own client then logs in again and repeats the request; so does
//! this one, and counts how often: a log-in costs etcd a password hash and an entry in the raft log.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::grpc::CallError;

/// After a log-in that failed, the next one waits this long: a hundred clients must not have a
/// hundred passwords hashed.
const AGAIN: Duration = Duration::from_secs(1);

/// The user, and the token that stands for it. Cloning shares it.
#[derive(Clone, Default)]
pub struct Auth {
    inner: Rc<Inner>,
}

#[derive(Default)]
struct Inner {
    login: Option<(String, String)>,
    token: RefCell<Option<HeaderValue>>,
    // Only one client logs in, the others wait for it.
    turn: tokio::sync::Mutex<()>,
    renewals: Cell<u64>,
    failed: RefCell<Option<(Instant, CallError)>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("user", &self.login().map(|(name, _)| name))
            .finish_non_exhaustive()
    }
}

impl Auth {
    /// Of a user and its password; without one, no token is sent.
    pub fn new(login: Option<(String, String)>) -> Self {
        Auth {
            inner: Rc::new(Inner {
                login,
                ..Inner::default()
            }),
        }
    }

    /// The user and the password.
    pub fn login(&self) -> Option<(&str, &str)> {
        let (name, password) = self.inner.login.as_ref()?;
        Some((name, password))
    }

    /// The token, once there is one.
    pub fn token(&self) -> Option<HeaderValue> {
        self.inner.token.borrow().clone()
    }

    /// Takes the token of an answer.
    pub fn take(&self, token: String) -> Result<(), CallError> {
        let mut value = HeaderValue::try_from(token)
            .map_err(|_| CallError::Transport("the token is no header value".to_owned()))?;
        // Never in a log of `h2`.
        value.set_sensitive(true);
        *self.inner.token.borrow_mut() = Some(value);
        Ok(())
    }

    /// How often the token was renewed.
    pub fn renewals(&self) -> u64 {
        self.inner.renewals.get()
    }

    /// Has one client log in for all; `used` is the token that was refused. Who comes while another
    /// one logs in gets its token.
    pub async fn renew(
        &self,
        used: Option<&HeaderValue>,
        log_in: impl Future<Output = Result<String, CallError>>,
    ) -> Result<(), CallError> {
        let _turn = self.inner.turn.lock().await;
        if self.inner.token.borrow().as_ref() != used {
            return Ok(());
        }
        if let Some((when, err)) = &*self.inner.failed.borrow()
            && when.elapsed() < AGAIN
        {
            return Err(err.clone());
        }
        match log_in.await {
            Ok(token) => {
                self.inner.renewals.set(self.renewals() + 1);
                self.take(token)
            }
            Err(err) => {
                *self.inner.failed.borrow_mut() = Some((Instant::now(), err.clone()));
                Err(err)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn one_logs_in_for_all() {
        block_on(async {
            let auth = Auth::new(Some(("u".to_owned(), "p".to_owned())));
            auth.take("old".to_owned()).unwrap();
            let used = auth.token();
            let asked = Cell::new(0);
            let renew = || {
                auth.renew(used.as_ref(), async {
                    asked.set(asked.get() + 1);
                    tokio::task::yield_now().await;
                    Ok("new".to_owned())
                })
            };
            let (a, b) = tokio::join!(renew(), renew());
            assert_eq!((a, b), (Ok(()), Ok(())));
            assert_eq!((asked.get(), auth.renewals()), (1, 1));
            assert_eq!(auth.token().unwrap(), "new");
        });
    }

    #[test]
    fn a_refused_log_in_is_not_repeated_at_once() {
        block_on(async {
            let auth = Auth::new(Some(("u".to_owned(), "p".to_owned())));
            let asked = Cell::new(0);
            for _ in 0..3 {
                let result = auth
                    .renew(None, async {
                        asked.set(asked.get() + 1);
                        Err(CallError::Timeout)
                    })
                    .await;
                assert_eq!(result, Err(CallError::Timeout));
            }
            assert_eq!((asked.get(), auth.renewals()), (1, 0));
        });
    }

    #[test]
    fn a_password_is_never_shown() {
        let auth = Auth::new(Some(("u".to_owned(), "hunter2".to_owned())));
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
