//! The requests in flight on one core, and when they began.

use tokio::time::Instant;

/// One place for each request, used again after its end.
#[derive(Debug, Default)]
pub(super) struct Begun {
    places: Vec<Option<Instant>>,
    free: Vec<usize>,
}

impl Begun {
    /// A request has begun. Its place is for [`Self::end`].
    pub(super) fn begin(&mut self, at: Instant) -> usize {
        let place = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(place) {
            Some(free) => *free = Some(at),
            None => self.places.push(Some(at)),
        }
        place
    }

    /// The request at this place has ended. Returns when it had begun.
    pub(super) fn end(&mut self, place: usize) -> Option<Instant> {
        let began = self.places.get_mut(place).and_then(Option::take);
        if began.is_some() {
            self.free.push(place);
        }
        began
    }

    /// How many are in flight.
    pub(super) fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// When the oldest request in flight began.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.places.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_of_those_in_flight_is_known_and_places_are_used_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut begun = Begun::default();
        assert_eq!(begun.oldest(), None);
        let (second, first) = (begun.begin(at(2)), begun.begin(at(1)));
        assert_eq!((begun.oldest(), begun.count()), (Some(at(1)), 2));
        assert_eq!(begun.end(first), Some(at(1)));
        assert_eq!((begun.end(first), begun.count()), (None, 1));
        assert_eq!(begun.oldest(), Some(at(2)));
        assert_eq!(begun.begin(at(3)), first);
        begun.end(second);
        assert_eq!((begun.oldest(), begun.places.len()), (Some(at(3)), 2));
    }
}
