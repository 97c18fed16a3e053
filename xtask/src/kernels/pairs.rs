//! Work that is done two at a time.

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Does the work for all, two at a time; the answers come in the order of `all`.
pub(super) fn in_pairs<T: Sync, A: Send>(all: &[T], work: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut answers = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(index) else { return answers };
            answers.push((index, work(one)));
        }
    };
    let mut answers: Vec<(usize, A)> = thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order() {
        assert_eq!(in_pairs(&[1, 2, 3, 4, 5], |n| n * n), [1, 4, 9, 16, 25]);
        assert_eq!(in_pairs(&[0; 0], |n| *n), [0; 0]);
    }
}
