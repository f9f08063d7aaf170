use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use proptest::prelude::*;

use super::*;

const KEY: &str = "cxk_of-the-client";

fn client(name: &str, keys: &[&str], uids: &[u32]) -> Client {
    Client {
        name: name.into(),
        keys: keys.iter().map(|key| KeyDigest::of(key.as_bytes())).collect(),
        uids: uids.to_vec(),
        ..Client::default()
    }
}

fn clients() -> Clients {
    Clients::new(vec![client("crm", &[KEY, "cxk_new"], &[]), client("cron", &["päss:word"], &[7, 1000])])
}

fn peer(uid: Option<u32>, names: &[SubjectName]) -> Peer {
    Peer { uid, names: (!names.is_empty()).then(|| names.into()) }
}

fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn named(lines: &[(&'static str, &str)], uid: Option<u32>) -> Result<String, String> {
    let clients = clients();
    let found = clients.identify(&fields(lines), Some(&peer(uid, &[])));
    found.map(|index| clients.all()[index].name.to_string()).map_err(|unknown| unknown.seen.to_string())
}

#[test]
fn a_key_is_taken_from_its_field_else_from_authorization() {
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(user));
    let unpadded = basic("u:cxk_new").trim_end_matches('=').to_owned();
    for (lines, expected) in [
        (vec![("x-proxy-key", KEY)], "crm"),
        (vec![("X-Proxy-Key", " cxk_new ")], "crm"),
        (vec![("x-proxy-key", KEY), ("authorization", "Bearer other")], "crm"),
        (vec![("authorization", "Bearer cxk_new")], "crm"),
        (vec![("authorization", "bEARER   cxk_new")], "crm"),
        (vec![("authorization", &*basic("anybody:cxk_of-the-client"))], "crm"),
        (vec![("authorization", &*basic(":päss:word"))], "cron"),
        (vec![("authorization", &*unpadded)], "crm"),
    ] {
        assert_eq!(named(&lines, None).as_deref(), Ok(expected), "{lines:?}");
    }
}

#[test]
fn what_was_looked_for_is_said_and_not_shown() {
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(user));
    for (lines, expected) in [
        (vec![], "no key"),
        (vec![("x-proxy-key", "s3cret")], "X-Proxy-Key is no client's"),
        (vec![("x-proxy-key", "")], "X-Proxy-Key is no client's"),
        (vec![("x-proxy-key", KEY), ("x-proxy-key", KEY)], "more than once"),
        (vec![("x-proxy-key", "s3cret"), ("authorization", "Bearer cxk_new")], "X-Proxy-Key is no client's"),
        (vec![("authorization", "Bearer s3cret")], "Bearer token"),
        (vec![("authorization", "Bearer")], "Bearer token"),
        (vec![("authorization", KEY)], "another scheme"),
        (vec![("authorization", "Negotiate s3cret")], "scheme other"),
        (vec![("authorization", "Basic s3cret!")], "cannot be decoded"),
        (vec![("authorization", &*basic("cxk_new"))], "cannot be decoded"),
        (vec![("authorization", &*basic("cxk_new:"))], "password"),
        (vec![("authorization", "Bearer cxk_new"), ("authorization", "Bearer cxk_new")], "more than once"),
    ] {
        let said = named(&lines, None).unwrap_err();
        let expected = expected.replace("another scheme", "scheme other");
        assert!(said.contains(&expected) && !said.contains("s3cret"), "{lines:?}: {said}");
    }
}

#[test]
fn the_sockets_user_counts_where_no_key_field_decides() {
    assert_eq!(named(&[], Some(7)).as_deref(), Ok("cron"));
    assert_eq!(named(&[("authorization", "Bearer of-the-api")], Some(1000)).as_deref(), Ok("cron"));
    assert_eq!(named(&[("authorization", "Bearer cxk_new")], Some(1000)).as_deref(), Ok("crm"));
    assert!(named(&[("x-proxy-key", "wrong")], Some(1000)).is_err());
    assert!(named(&[], Some(8)).is_err());
    let problem = clients().identify(&HeaderMap::new(), Some(&peer(Some(8), &[]))).unwrap_err().problem();
    assert!(problem.detail_text().contains("uid 8"), "{}", problem.detail_text());
}

fn pattern(text: &str) -> NamePattern {
    text.parse().unwrap()
}

#[test]
fn a_certificate_is_the_clients_whose_pattern_says_most() {
    let named = |name: &str, patterns: &[&str]| Client {
        name: name.into(),
        names: patterns.iter().map(|text| pattern(text)).collect(),
        ..Client::default()
    };
    let known = Clients::new(vec![
        named("any", &["spiffe://td/ns/prod/*"]),
        named("crm", &["spiffe://td/ns/prod/sa/crm", "CRM.example"]),
        named("old", &["old*"]),
    ]);
    let (dns, uri) =
        (|text: &str| SubjectName::Dns(text.to_owned()), |text: &str| SubjectName::Uri(text.to_owned()));
    for (names, expected) in [
        (vec![uri("spiffe://td/ns/prod/sa/crm")], Some("crm")),
        (vec![uri("spiffe://td/ns/prod/sa/other")], Some("any")),
        (vec![uri("spiffe://td/ns/prodx/sa/other")], None),
        (vec![uri("spiffe://td/ns/prod/sa/CRM")], Some("any")),
        (vec![dns("x.example"), dns("crm.EXAMPLE")], Some("crm")),
        (vec![dns("old-7.example")], Some("old")),
        // A DNS name that looks like a URI is none.
        (vec![dns("spiffe://td/ns/prod/sa/crm")], None),
        (vec![], None),
    ] {
        let found = known.identify(&HeaderMap::new(), Some(&peer(None, &names))).ok();
        assert_eq!(found.map(|index| &*known.all()[index].name), expected, "{names:?}");
    }
    let unknown = known.identify(&HeaderMap::new(), Some(&peer(None, &[dns("no.example")]))).unwrap_err();
    assert!(unknown.problem().detail_text().contains("no.example"), "{}", unknown.problem().detail_text());
    // A key that is shown decides, whatever the certificate says.
    let shown = fields(&[("x-proxy-key", "wrong")]);
    assert!(known.identify(&shown, Some(&peer(None, &[dns("crm.example")]))).is_err());
}

#[test]
fn patterns_that_let_everybody_in_are_refused() {
    for unfit in ["", "*", "a*b", "*.example", "spiffe://*", "spiffe://td*", "a b", "é"] {
        assert!(unfit.parse::<NamePattern>().is_err(), "{unfit}");
    }
    for fit in ["spiffe://td/*", "crm.example", "crm*"] {
        assert_eq!(pattern(fit).to_string(), fit);
    }
}

#[test]
fn a_new_key_is_known_by_its_digest_alone() {
    let key = Key::from_chance([7; 32]);
    assert_eq!((key.reveal().len(), &key.reveal()[..4]), (47, "cxk_"));
    let digest: KeyDigest = key.digest().to_string().parse().unwrap();
    assert_eq!(digest, KeyDigest::of(key.reveal().as_bytes()));
    let known = Clients::new(vec![Client { keys: vec![digest], ..Client::default() }]);
    assert_eq!(known.identify(&fields(&[("x-proxy-key", key.reveal())]), None), Ok(0));
    // FIPS 180-4's own example.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(KeyDigest::of(b"abc").to_string(), abc);
    assert_eq!(abc.to_uppercase().parse(), Ok(KeyDigest::of(b"abc")));
    for unfit in ["", "ba78", &abc[1..], &format!("{abc}0"), &abc.replace('b', "g"), &abc.replace("ba", "+1")]
    {
        assert!(unfit.parse::<KeyDigest>().is_err(), "{unfit}");
    }
}

proptest! {
    #[test]
    fn no_request_without_a_known_key_comes_from_a_client(lines in prop::collection::vec(
        (0_usize..3, "[ -~]{0,40}"), 0..4,
    )) {
        let names = [KEY_FIELD, AUTHORIZATION.as_str(), "cookie"];
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            headers.append(names[*name], value.parse().unwrap());
        }
        prop_assert!(clients().identify(&headers, None).is_err());
    }

    #[test]
    fn a_key_is_found_in_whatever_way_it_is_sent(key in "[!-~]{1,60}", user in "[a-z]{0,8}", way in 0..3) {
        let known = Clients::new(vec![client("one", &[&key], &[])]);
        let mut headers = HeaderMap::new();
        match way {
            0 => headers.append(KEY_FIELD, key.parse().unwrap()),
            1 => headers.append(AUTHORIZATION, format!("Bearer {key}").parse().unwrap()),
            _ => {
                let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{key}")));
                headers.append(AUTHORIZATION, basic.parse().unwrap())
            }
        };
        prop_assert_eq!(known.identify(&headers, None), Ok(0));
    }
}
