//! Doing once more what did not even begin.

use anyhow::Result;

/// Does `once` until it has begun, which it says beside its outcome, at most `times`; gives the last outcome. It is told
/// which time this is, from 1.
pub(crate) fn until_begun<T>(times: usize, mut once: impl FnMut(usize) -> Result<(bool, T)>) -> Result<T> {
    for time in 1..times {
        if let (true, outcome) = once(time)? {
            return Ok(outcome);
        }
    }
    Ok(once(times)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_begun_is_done_again_and_nothing_else() {
        let times = |wanted: usize| until_begun(3, |time| Ok((time >= wanted, time))).unwrap();
        assert_eq!([1, 2, 3, 4].map(times), [1, 2, 3, 3]);
        assert!(until_begun(3, |_| -> Result<(bool, ())> { anyhow::bail!("no emulator") }).is_err());
    }
}
