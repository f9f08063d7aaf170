//! The limit of open files: clients cannot use all of them up.

use crate::support::{RawConnection, Setup, eventually, get};

/// Two for each connection and 64 beside them.
const FILES: u32 = 200;
const CONNECTIONS: usize = 68;

#[tokio::test]
async fn clients_leave_files_for_the_admin_pages_and_a_small_limit_is_said() {
    let setup = Setup::launched(|launch| launch.open_files(FILES)).await;
    let line = setup.proxy.warning_about("LimitNOFILE").expect("a warning");
    assert_eq!((&line["limit"], &line["connections"]), (&FILES.into(), &CONNECTIONS.into()));
    // Each of them holds a connection to the API as well.
    let mut busy: Vec<RawConnection> = Vec::new();
    for number in 0..CONNECTIONS + 30 {
        let mut client = setup.connect().await;
        client.send(get(&format!("/api/v2/long-poll?seconds=60&{number}"))).await;
        busy.push(client);
    }
    setup.in_flight(CONNECTIONS).await;
    for _ in 0..5 {
        assert_eq!(setup.admin("/livez").await.status(), 200);
        assert_eq!(setup.admin("/metrics").await.status(), 200);
    }
    assert!(setup.proxy.warning_about("no connection can be accepted").is_none(), "{:#?}", setup.proxy.log());
    // Who waited is served when others have gone.
    let mut waiting = busy.split_off(CONNECTIONS);
    drop(busy);
    setup.in_flight(30).await;
    drop(waiting.split_off(1));
    eventually("room", async || (setup.get("/api/v2/users/me").await.status() == 200).then_some(())).await;
}
