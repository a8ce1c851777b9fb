//! Where the control loop and the reporter meet, without either waiting for the other.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::Account;

/// The control loop's side.
pub struct Desk {
    changed: Arc<Notify>,
    questions: mpsc::Receiver<oneshot::Sender<Account>>,
}

/// The reporter's side.
#[derive(Clone)]
pub(super) struct Inquiry {
    changed: Arc<Notify>,
    questions: mpsc::Sender<oneshot::Sender<Account>>,
}

/// Both sides.
pub(super) fn open() -> (Desk, Inquiry) {
    let changed = Arc::new(Notify::new());
    let (ask, questions) = mpsc::channel(1);
    (Desk { changed: Arc::clone(&changed), questions }, Inquiry { changed, questions: ask })
}

impl Desk {
    /// Something else is served, or wrong.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits until an account is asked for; for ever where nobody reports. The account is to be sent, or the question
    /// dropped, and then it is asked again later.
    pub async fn asked(desk: Option<&mut Desk>) -> oneshot::Sender<Account> {
        let question = match desk {
            Some(desk) => desk.questions.recv().await,
            None => None,
        };
        match question {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

impl Inquiry {
    /// Waits until something else is served, or wrong, than when this was last called.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is served, and what is wrong; `None` if the control loop cannot say now.
    pub(super) async fn account(&self) -> Option<Account> {
        let (answer, account) = oneshot::channel();
        self.questions.send(answer).await.ok()?;
        account.await.ok()
    }
}
