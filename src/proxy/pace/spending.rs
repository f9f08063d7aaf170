//! The budget of requests: so many in each window, which begins with its first request. Pure.

use std::num::NonZeroU32;
use std::time::Duration;

use super::rate::Rate;

/// A budget, and what is left of it.
#[derive(Debug)]
pub(super) struct Spending {
    /// What all replicas have together, and this one's part of it.
    configured: Rate,
    budget: Rate,
    window: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    ends: Duration,
    used: u32,
}

impl Spending {
    pub(super) fn new(budget: Rate) -> Self {
        Self { configured: budget, budget, window: None }
    }

    /// So many replicas share the budget from now on. What was spent stays spent.
    pub(super) fn share_among(&mut self, replicas: NonZeroU32) {
        self.budget = self.configured.divided(replicas);
    }

    /// How many requests are left.
    pub(super) fn left(&self, now: Duration) -> u32 {
        let used = self.window.filter(|window| now < window.ends).map_or(0, |window| window.used);
        self.budget.count.get().saturating_sub(used)
    }

    /// Spends one request; how long until the next window where none is left.
    pub(super) fn spend(&mut self, now: Duration) -> Result<(), Duration> {
        let fresh = Window { ends: now + self.budget.per, used: 0 };
        let window = self.window.get_or_insert(fresh);
        if window.ends <= now {
            *window = fresh;
        }
        if window.used >= self.budget.count.get() {
            return Err(window.ends.saturating_sub(now));
        }
        window.used += 1;
        Ok(())
    }

    /// As [`Self::spend`], but spends nothing.
    pub(super) fn look(&self, now: Duration) -> Result<(), Duration> {
        match self.window {
            Some(window) if now < window.ends && window.used >= self.budget.count.get() => {
                Err(window.ends.saturating_sub(now))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lasts_until_its_window_ends() {
        let at = Duration::from_secs;
        let mut spending = Spending::new(Rate { count: NonZeroU32::new(2).unwrap(), per: at(60) });
        assert_eq!(spending.left(at(5)), 2);
        assert_eq!([spending.spend(at(5)), spending.spend(at(30))], [Ok(()), Ok(())]);
        assert_eq!((spending.left(at(30)), spending.look(at(40))), (0, Err(at(25))));
        assert_eq!(spending.spend(at(64)), Err(at(1)));
        assert_eq!((spending.look(at(65)), spending.left(at(65))), (Ok(()), 2));
        assert_eq!(spending.spend(at(70)), Ok(()));
        assert_eq!(spending.left(at(129)), 1, "a window begins with its first request");
        spending.share_among(NonZeroU32::new(2).unwrap());
        assert_eq!((spending.left(at(70)), spending.spend(at(70))), (0, Err(at(60))));
        spending.share_among(NonZeroU32::MIN);
        assert_eq!(spending.left(at(70)), 1);
    }
}
