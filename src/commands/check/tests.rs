use super::*;

#[test]
fn bad_configuration_is_reported_with_every_fault() {
    let report = report(&Flags::default(), &Environment::default(), &Options::default()).unwrap();
    assert_eq!(report.ending(), Ending::Misconfigured);
    let text = report.text();
    let starts = ["configuration error: oauth.client_id is", "configuration error: CXONE_CLIENT_SECRET is"];
    let faults: Vec<&str> = text.lines().filter(|line| line.starts_with("configuration error: ")).collect();
    assert!(faults.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{text}");
    assert_eq!(faults.len(), 2, "{text}");
    assert!(text.contains("- log-in: skipped (configuration failed)\n"), "{text}");
}
