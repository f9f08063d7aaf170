//! At most so many starts in any window of time. Pure. A moment is the time since any fixed start.

use std::collections::VecDeque;
use std::time::Duration;

use super::rate::Rate;

/// Starts are remembered in at most about so many groups, so that a rate of millions an hour takes little
/// memory. A group ends with its youngest start: the limit is never exceeded, and a thousandth of the time is
/// lost at most.
const GROUPS: u32 = 1024;

/// The starts of one window, the oldest first.
#[derive(Debug)]
pub(super) struct Window {
    rate: Rate,
    groups: VecDeque<Group>,
    used: u32,
}

#[derive(Debug)]
struct Group {
    first: Duration,
    last: Duration,
    starts: u32,
}

impl Window {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, groups: VecDeque::new(), used: 0 }
    }

    /// Another rate from now on; what has started stays counted.
    pub(super) fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// A request starts.
    pub(super) fn take(&mut self, now: Duration) {
        self.expire(now);
        let length = self.rate.per / GROUPS;
        self.used += 1;
        match self.groups.back_mut() {
            Some(group) if now < group.first + length => {
                group.last = group.last.max(now);
                group.starts += 1;
            }
            _ => self.groups.push_back(Group { first: now, last: now, starts: 1 }),
        }
    }

    /// When the request at this place (from 0) may start.
    pub(super) fn free_at(&mut self, place: usize, now: Duration) -> Duration {
        self.expire(now);
        let count = u64::from(self.rate.count.get());
        let place = u64::try_from(place).unwrap_or(u64::MAX / 2);
        let Some(after) = (u64::from(self.used) + place).checked_sub(count) else { return now };
        // It starts when the start that is `after` places behind the oldest one is out of the window. Those
        // that start now come behind the ones that are remembered, and each later window repeats them.
        let windows = u32::try_from(after / count).unwrap_or(u32::MAX);
        let mut left = after % count;
        let started = self.groups.iter().find_map(|group| {
            let starts = u64::from(group.starts);
            let found = left < starts;
            left = left.saturating_sub(starts);
            found.then_some(group.last)
        });
        started.unwrap_or(now) + self.rate.per.saturating_mul(windows.saturating_add(1))
    }

    fn expire(&mut self, now: Duration) {
        while let Some(oldest) = self.groups.front().filter(|group| group.last + self.rate.per <= now) {
            self.used -= oldest.starts;
            self.groups.pop_front();
        }
    }
}
