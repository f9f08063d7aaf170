//! The limit of client connections: idle ones are closed first, then new ones wait.

use crate::support::{QUIET, Setup, get};

#[tokio::test]
async fn beyond_the_limit_an_idle_connection_makes_room() {
    let setup = Setup::launched(|launch| launch.flag("connections", "5")).await;
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut client = setup.connect().await;
        assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
        idle.push(client);
    }
    let mut sixth = setup.connect().await;
    assert_eq!(sixth.fetch(get("/api/v2/users/me")).await.status(), 200);
    let mut closed = 0;
    for client in &mut idle {
        closed += usize::from(!client.is_quiet(QUIET).await);
    }
    assert!(closed >= 1, "no idle connection was closed");
    assert!(closed < 5, "all idle connections were closed");
}

#[tokio::test]
async fn beyond_the_limit_a_new_connection_waits_while_all_are_busy() {
    let setup = Setup::launched(|launch| launch.flag("connections", "3")).await;
    let mut busy = Vec::new();
    for count in 1..=3 {
        let mut client = setup.connect().await;
        client.send(get("/api/v2/long-poll?seconds=60")).await;
        setup.in_flight(count).await;
        busy.push(client);
    }
    let mut waiting = setup.connect().await;
    waiting.send(get("/api/v2/users/me")).await;
    assert!(waiting.is_quiet(QUIET).await, "it waits");
    assert_eq!(setup.status().await["requests"]["in_flight"], 3);
    busy.pop();
    assert_eq!(waiting.response().await.unwrap().status(), 200);
}
