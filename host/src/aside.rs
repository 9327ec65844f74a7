//! A question that may take long, answered on a thread of its own, so that who asks is never held up.
//!
//! A log that is away answers after minutes. What is asked of it only to look - how far everyone is - must not keep a run
//! from being stopped meanwhile. Whoever asks picks the answer up when it is there, and waits a moment for the last one when it
//! goes: a thread that is held up longer ends with the process. Used by a run and by its progress lines.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the last answer is waited for.
const LAST: Duration = Duration::from_secs(1);

/// Who answers, one question at a time.
pub struct Aside<Q, A> {
    /// None at the end.
    questions: Option<Sender<Q>>,
    answers: Receiver<A>,
    is_asked: bool,
    thread: Option<JoinHandle<()>>,
}

impl<Q: Send + 'static, A: Send + 'static> Aside<Q, A> {
    /// Answers with this function.
    ///
    /// # Panics
    /// If the process can have no more threads.
    #[must_use]
    pub fn new(mut answer: impl FnMut(Q) -> A + Send + 'static) -> Self {
        let (questions, asked) = channel();
        let (told, answers) = channel();
        let run = move || {
            // Who has gone is told nothing.
            let _ = asked.into_iter().map(&mut answer).try_for_each(|answer| told.send(answer));
        };
        Self { questions: Some(questions), answers, is_asked: false, thread: Some(std::thread::spawn(run)) }
    }

    /// Asks, unless a question is open.
    pub fn ask(&mut self, question: Q) {
        if !self.is_asked {
            // A thread that has panicked answers no more.
            self.is_asked = self.questions.as_ref().is_some_and(|questions| questions.send(question).is_ok());
        }
    }

    /// The answer, once, if it comes in this time.
    pub fn answer(&mut self, within: Duration) -> Option<A> {
        let answer = self.is_asked.then(|| self.answers.recv_timeout(within))?;
        self.is_asked = matches!(answer, Err(RecvTimeoutError::Timeout));
        answer.ok()
    }
}

impl<Q, A> Drop for Aside<Q, A> {
    fn drop(&mut self) {
        self.questions = None;
        let is_held_up = self.is_asked && matches!(self.answers.recv_timeout(LAST), Err(RecvTimeoutError::Timeout));
        if let (false, Some(thread)) = (is_held_up, self.thread.take()) {
            // What it shares with others is free again.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    #[test]
    fn an_open_question_holds_nobody_up_and_is_not_asked_again() {
        let (go, gone) = channel();
        let mut aside = Aside::new(move |number: u32| (gone.recv().is_ok(), number));
        aside.ask(1);
        assert_eq!(aside.answer(Duration::ZERO), None);
        aside.ask(2);
        go.send(()).unwrap();
        assert_eq!(aside.answer(SOON), Some((true, 1)));
        assert_eq!(aside.answer(SOON), None, "the second question was never asked");
        drop(go);
        aside.ask(3);
        assert_eq!(aside.answer(SOON), Some((false, 3)));
    }

    #[test]
    fn who_panics_has_no_answer() {
        let mut aside = Aside::new(|(): ()| -> u32 { panic!("as it is meant to") });
        for _ in 0..2 {
            aside.ask(());
            assert_eq!(aside.answer(SOON), None);
        }
    }
}
