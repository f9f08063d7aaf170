//! The memory that all kept bodies together may take: one bound for the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes and no more. All clones share them.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: usize,
    used: Arc<AtomicUsize>,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Reserved {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Arc::default() }
    }

    /// The same budget with another limit from now on; what is used stays used.
    #[must_use]
    pub fn with_size(&self, limit: usize) -> Self {
        Self { limit, used: Arc::clone(&self.used) }
    }

    /// A part of no size yet.
    pub fn reserved(&self) -> Reserved {
        Reserved { budget: self.clone(), bytes: 0 }
    }
}

impl Reserved {
    /// Makes the part `bytes` large. False where the budget does not allow it; then nothing changes.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let used = &self.budget.used;
        if bytes <= self.bytes {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
            return true;
        }
        let more = bytes - self.bytes;
        let limit = self.budget.limit;
        let allowed = |used: usize| used.checked_add(more).filter(|sum| *sum <= limit);
        let grown = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, allowed).is_ok();
        if grown {
            self.bytes = bytes;
        }
        grown
    }
}

impl Reserved {
    /// Makes the part larger. False where the budget does not allow it; then nothing changes.
    pub fn grow_by(&mut self, bytes: usize) -> bool {
        self.bytes.checked_add(bytes).is_some_and(|sum| self.grow_to(sum))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.grow_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_given_out_and_all_of_it_comes_back() {
        let budget = Budget::new(10);
        let mut one = budget.reserved();
        let mut two = budget.reserved();
        assert!(one.grow_to(6));
        assert!(!two.grow_to(5), "11 bytes of 10");
        assert!(two.grow_to(4));
        assert!(!one.grow_to(usize::MAX));
        assert!(one.grow_to(2));
        assert!(two.grow_to(8));
        drop((one, two));
        assert!(budget.reserved().grow_to(10));
    }
}
