//! The lines that a person reads.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::cause::Origins;
use crate::clock::Clock;
use crate::log::recorder::logged;
use crate::secret::Secret;
use crate::tokens::Claims;
use crate::tokens::token::Validity;

fn start() -> Now {
    Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).now()
}

fn account() -> Arc<Account> {
    Arc::new(Account {
        token_url: "https://api.example/api/v2/oauth/token".to_owned(),
        id: "crm-sync".to_owned(),
        holder: "client crm-sync".to_owned(),
        origins: Origins::default(),
        forward_proxy: None,
    })
}

fn token(now: Now, scopes: &[&str]) -> AccessToken {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let text = Secret::new("t0ken".to_owned());
    let validity = Validity::new(now, Duration::from_hours(1));
    AccessToken::new(1, text, scopes, Claims::default(), now, validity).unwrap()
}

fn refused(grant: GrantType, now: Now, wait: u64) -> Failure {
    let cause = Cause::Refused {
        status: 400,
        error: Some("invalid_client".to_owned()),
        description: Some("Client not found in tenant".to_owned()),
    };
    let next_try = now.plus(Duration::from_secs(wait));
    Failure { cause, grant, account: account(), at: now, next_try, is_remembered: true, is_repeated: true }
}

#[test]
fn the_first_line_says_what_where_who_what_to_do_and_when_it_is_tried_again() {
    let now = start();
    let lines = logged(|| {
        Report::new().failure(&refused(GrantType::ClientCredentials, now, 1), None, now);
    });
    assert_eq!(
        lines,
        [
            "WARN no token: the token endpoint https://api.example/api/v2/oauth/token refused client crm-sync: 400 \
          invalid_client \"Client not found in tenant\". Check CXONE_CLIENT_ID: copied whole, and registered in \
          this tenant and region. Next try in 1 s. \
          token_url=\"https://api.example/api/v2/oauth/token\" client_id=\"crm-sync\" grant=\"client_credentials\" \
          outcome=\"refused\" status=400 error=\"invalid_client\" hint=\"Check CXONE_CLIENT_ID: copied whole, \
          and registered in this tenant and region.\" next_try_ms=1000 more=0"
        ]
    );
}

#[test]
fn equal_failures_are_counted_and_one_line_says_that_it_is_over() {
    let now = start();
    let lines = logged(|| {
        let mut report = Report::new();
        for second in 0..=90 {
            let now = now.plus(Duration::from_secs(second));
            report.failure(&refused(GrantType::ClientCredentials, now, 1), None, now);
        }
        let now = now.plus(Duration::from_secs(91));
        report.token(
            &token(now, &[]),
            (GrantType::ClientCredentials, false),
            &Scopes::default(),
            &account(),
            now,
        );
        report.token(
            &token(now, &[]),
            (GrantType::ClientCredentials, false),
            &Scopes::default(),
            &account(),
            now,
        );
    });
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines[1].contains("(60 times more, for 60 s now)"), "{}", lines[1]);
    assert!(lines[2].starts_with("INFO the token endpoint https://api.example/api/v2/oauth/token issues tokens to client crm-sync again"));
    assert!(lines[2].contains("failures=91 lasted_seconds=91"), "{}", lines[2]);
    assert!(lines[3].starts_with("INFO token obtained") && !lines[3].contains("t0ken"));
}

#[test]
fn a_refresh_token_that_is_not_accepted_any_more_is_no_news_if_the_log_in_works() {
    let now = start();
    let lines = logged(|| {
        let mut report = Report::new();
        let old = token(now, &[]);
        report.failure(&refused(GrantType::RefreshToken, now, 0), Some(&old), now);
        report.token(
            &token(now, &[]),
            (GrantType::ClientCredentials, false),
            &Scopes::default(),
            &account(),
            now,
        );
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("INFO token obtained"));
}

#[test]
fn while_the_old_token_is_valid_the_line_says_for_how_long() {
    let now = start();
    let mut failure = refused(GrantType::RefreshToken, now, 0);
    failure.cause = Cause::ServerError(503);
    failure.next_try = now.plus(Duration::from_millis(250));
    let old = token(now, &[]);
    let lines = logged(|| Report::new().failure(&failure, Some(&old), now));
    let expected = "WARN token not renewed, the old one is valid for 60 min: the token endpoint \
        https://api.example/api/v2/oauth/token failed (503). Wait, or ask the operator of the token endpoint: it has a \
        problem of its own. Next try in 250 ms.";
    assert!(lines[0].starts_with(expected), "{}", lines[0]);
}

#[test]
fn missing_scopes_are_named_once() {
    let now = start();
    let requested: Scopes = "users:read calls:write".parse().unwrap();
    let lines = logged(|| {
        let mut report = Report::new();
        for scopes in
            [["users:read"].as_slice(), &["users:read"], &["users:read", "calls:write"], &["calls:write"]]
        {
            report.token(
                &token(now, scopes),
                (GrantType::ClientCredentials, false),
                &requested,
                &account(),
                now,
            );
        }
    });
    let warnings: Vec<_> = lines.iter().filter(|line| line.starts_with("WARN")).collect();
    assert_eq!(warnings.len(), 2, "{lines:#?}");
    assert!(
        warnings[0]
            .starts_with("WARN client crm-sync was not granted these scopes of CXONE_SCOPES: calls:write.")
    );
    assert!(warnings[1].contains(": users:read."));
}

#[test]
fn what_rejections_mean_is_said_in_words() {
    let (age, lifetime) = (Duration::from_secs(40), Duration::from_hours(1));
    let notices = vec![
        Notice::EarlyRejections { tokens: 3, age, lifetime },
        Notice::EarlyRejectionsEnded,
        Notice::RejectedEverywhere,
        Notice::AcceptedAgain,
    ];
    let lines = logged(|| Report::notices(notices, &account()));
    assert!(
        lines[0].starts_with(
            "WARN tokens die young: the last 3 were rejected by the CXone API (401) long before"
        )
    );
    assert!(lines[0].contains(
        "after 40 s of 60 min. Another program or replica probably requests tokens for client crm-sync"
    ));
    assert!(lines[1].starts_with("INFO") && lines[2].starts_with("WARN") && lines[3].starts_with("INFO"));
    assert_eq!(lines.len(), 4);
}
