use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn ticket(start: Instant, number: u64) -> Ticket {
    Ticket { arrived: start + Duration::from_millis(number), number }
}

fn caller(name: u8) -> Caller {
    (name > 0).then(|| name.to_string().into())
}

/// Serves all of them, in order.
fn served(mut line: Line<(Caller, u64)>) -> Vec<(Caller, u64)> {
    let mut order = Vec::new();
    while let Some((ticket, (caller, number))) = line.head() {
        let (caller, number) = (caller.clone(), *number);
        line.leave(&caller, ticket, true);
        order.push((caller, number));
    }
    order
}

fn joined(start: Instant, callers: &[u8]) -> Line<(Caller, u64)> {
    let mut line = Line::new();
    for (number, name) in (0..).zip(callers) {
        line.join(&caller(*name), ticket(start, number), (caller(*name), number));
    }
    line
}

proptest! {
    #[test]
    fn one_caller_is_served_in_the_order_of_arrival(mut numbers in proptest::collection::vec(0..1000_u64, 0..50)) {
        numbers.sort_unstable();
        numbers.dedup();
        let start = Instant::now();
        let mut line = Line::new();
        let mut shuffled = numbers.clone();
        fastrand::Rng::with_seed(7).shuffle(&mut shuffled);
        for number in &shuffled {
            line.join(&None, ticket(start, *number), (None, *number));
        }
        let order: Vec<u64> = served(line).into_iter().map(|(_, number)| number).collect();
        prop_assert_eq!(order, numbers);
    }

    #[test]
    fn nobody_is_lost_and_the_place_is_what_was_said(callers in proptest::collection::vec(0..4_u8, 1..60)) {
        let start = Instant::now();
        let line = joined(start, &callers);
        prop_assert_eq!(line.len(), callers.len());
        let said: Vec<usize> = (0..).zip(&callers)
            .map(|(number, name)| line.ahead_of(&caller(*name), ticket(start, number)))
            .collect();
        let order = served(line);
        prop_assert_eq!(order.len(), callers.len());
        for (place, (_, number)) in order.iter().enumerate() {
            prop_assert_eq!(said[usize::try_from(*number).unwrap()], place);
        }
    }
}

#[test]
fn callers_take_turns_however_many_requests_each_has() {
    let callers: Vec<u8> = std::iter::repeat_n(1, 100).chain(std::iter::repeat_n(2, 10)).collect();
    let order = served(joined(Instant::now(), &callers));
    let first: Vec<_> = order.iter().take(20).filter(|(own, _)| *own == caller(2)).collect();
    assert_eq!(first.len(), 10, "equal shares while both wait");
}

#[test]
fn a_request_that_leaves_costs_its_caller_no_turn() {
    let start = Instant::now();
    let mut line = joined(start, &[1, 1, 2]);
    line.leave(&caller(1), ticket(start, 0), false);
    assert_eq!(line.head().map(|(ticket, _)| ticket.number), Some(1));
    line.leave(&caller(1), ticket(start, 1), false);
    line.leave(&caller(2), ticket(start, 2), false);
    assert!(line.is_empty());
}
