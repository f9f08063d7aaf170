use super::*;

#[test]
fn bad_configuration_is_reported_with_every_fault_once() {
    let report = report(&Flags::default(), &Environment::default(), &Options::default()).unwrap();
    assert_eq!(report.ending(), Ending::Misconfigured);
    let text = text::text(&report, None);
    let [client, secret, next] = &text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(client.starts_with("configuration error: oauth.client_id is not set anywhere; "), "{text}");
    assert!(secret.starts_with("configuration error: CXONE_CLIENT_SECRET is not set anywhere; "), "{text}");
    assert!(next.starts_with("next step: Correct the above; "), "{text}");
}
