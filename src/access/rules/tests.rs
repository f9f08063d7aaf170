//! Rules one by one: how they are read, and what they decide.

use http::Request;

use super::*;

pub(super) fn rules(allow: &[&str], deny: &[&str], read_only: bool) -> Rules {
    let read = |rules: &[&str]| rules.iter().map(|rule| rule.parse().unwrap()).collect();
    Rules { allow: read(allow), deny: read(deny), read_only }
}

pub(super) fn check(rules: &Rules, method: &str, path: &str) -> Result<(), Denial> {
    let head = Request::builder().method(method).uri("/").body(()).unwrap().into_parts().0;
    rules.check(&head, path)
}

fn slug(rules: &Rules, method: &str, path: &str) -> &'static str {
    check(rules, method, path).map_or_else(|denial| denial.kind().slug(), |()| "")
}

#[test]
fn without_rules_everything_is_allowed() {
    let none = Rules::default();
    for path in ["/", "//x", "/a/../b", "/%2f", "/%", "/;x", ""] {
        assert_eq!(slug(&none, "DELETE", path), "", "{path}");
    }
}

#[test]
fn a_rule_is_a_method_and_a_path_or_its_beginning() {
    for (rule, method, path, fits) in [
        ("GET /a", "GET", "/a", true),
        ("GET /a", "HEAD", "/a", false),
        ("GET /a", "GET", "/ab", false),
        ("GET /a", "GET", "/a/b", false),
        ("GET /a*", "GET", "/ab", true),
        ("GET /a*", "GET", "/a/b", true),
        ("GET /a/*", "GET", "/a/b", true),
        ("GET /a/*", "GET", "/ab", false),
        ("* /a", "PURGE", "/a", true),
        ("* /*", "PUT", "/a/b", true),
        ("GET  /a", "GET", "/a", true),
        ("GET /grün", "GET", "/gr%C3%BCn", true),
        ("GET /a b", "GET", "/a%20b", true),
        ("GET /a", "GET", "/%61", true),
        ("GET /a/b", "GET", "/a//b", true),
        ("GET /*", "GET", "", true),
    ] {
        assert_eq!(
            slug(&rules(&[rule], &[], false), method, path).is_empty(),
            fits,
            "allow {rule}: {method} {path}"
        );
        assert_eq!(
            !slug(&rules(&[], &[rule], false), method, path).is_empty(),
            fits,
            "deny {rule}: {method} {path}"
        );
    }
}

/// Where servers differ, the stricter reading counts on each side.
#[test]
fn deny_reads_generously_and_allow_literally() {
    for (rule, method, path) in [
        ("DELETE /a", "delete", "/a"),
        ("GET /Token", "GET", "/tOKEN"),
        ("GET /token", "GET", "/token/"),
        ("GET /token/*", "GET", "/token"),
        ("GET /Ärger", "GET", "/%C3%A4rger"),
    ] {
        assert_eq!(slug(&rules(&[], &[rule], false), method, path), "access-denied", "{rule}");
        assert_eq!(slug(&rules(&[rule], &[], false), method, path), "access-not-allowed", "{rule}");
    }
}

#[test]
fn deny_wins() {
    let rules = rules(&["* /api/*"], &["DELETE /api/v2/users*"], false);
    assert_eq!(slug(&rules, "GET", "/api/v2/users/7"), "");
    assert_eq!(slug(&rules, "DELETE", "/api/v2/users/7"), "access-denied");
    assert_eq!(slug(&rules, "DELETE", "/api/v2/contacts/7"), "");
    assert_eq!(slug(&rules, "GET", "/other"), "access-not-allowed");
}

#[test]
fn read_only_has_three_methods() {
    let rules = rules(&[], &[], true);
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(slug(&rules, method, "/a/../%2f"), "", "the path does not matter");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE", "get", "QUERY"] {
        assert_eq!(slug(&rules, method, "/a"), "access-read-only", "{method}");
    }
}

#[test]
fn what_two_servers_could_read_differently_is_refused_where_a_rule_depends_on_it() {
    use Ambiguity as A;
    for (path, due) in [
        ("/a%2fb", A::EncodedSlash),
        ("/a%2Fb", A::EncodedSlash),
        ("/a\\b", A::Backslash),
        ("/a%5cb", A::Backslash),
        ("/a;x=1/b", A::Parameter),
        ("/a%3Bx/b", A::Parameter),
        ("/a/./b", A::DotSegment),
        ("/a/../b", A::DotSegment),
        ("/a/..", A::DotSegment),
        ("/a/%2e%2e/b", A::EncodedDot),
        ("/a/.%2E/b", A::EncodedDot),
        ("/v2%2e0", A::EncodedDot),
        ("/a%", A::InvalidEncoding),
        ("/a%2", A::InvalidEncoding),
        ("/a%zz", A::InvalidEncoding),
        ("/a%u002f", A::InvalidEncoding),
        ("/a%+2", A::InvalidEncoding),
        ("/a%252fb", A::DoubleEncoding),
        ("/a%00", A::Control),
        ("/a%0d%0a", A::Control),
        ("/a%7f", A::Control),
        ("/a%3fb", A::EncodedDelimiter),
        ("/a%23b", A::EncodedDelimiter),
        ("/a%c0%afb", A::NotUtf8),
        ("/a%ff", A::NotUtf8),
        ("/a%ef%bc%8fb", A::LookAlike),
        ("/to%E2%84%AAen", A::LookAlike),
        ("/acce%C5%BFs", A::LookAlike),
        ("/adm%C4%B1n", A::LookAlike),
        ("/adm%C4%B0n", A::LookAlike),
        ("/%E2%80%A6/b", A::LookAlike),
        ("//a/b", A::TwoSlashes),
        ("/a./b", A::SegmentEnd),
        ("/a%20/b", A::SegmentEnd),
        ("/%20a", A::SegmentEnd),
    ] {
        for rules in [rules(&[], &["* /secret*"], false), rules(&["* /public/*"], &[], false)] {
            assert_eq!(check(&rules, "GET", path), Err(Denial::Ambiguous(due)), "{path}");
        }
        // Nobody has to know what the path is.
        for rules in [rules(&["GET /*"], &[], false), rules(&[], &["POST /secret*"], false)] {
            assert_eq!(check(&rules, "GET", path), Ok(()), "{path}");
        }
    }
    let rules = rules(&[], &["* /secret*"], false);
    for path in [
        "/Stra%C3%9Fe",
        "/M%C3%BCnchen",
        "/%E6%97%A5%E6%9C%AC",
        "/a.b",
        "/.well-known",
        "/a..b",
        "/a+b",
        "/a:b@c",
    ] {
        assert_eq!(check(&rules, "GET", path), Ok(()), "{path}");
    }
}

#[test]
fn fields_that_replace_method_or_path_are_refused_where_there_are_rules() {
    let rules_of = [rules(&[], &[], true), rules(&["GET /*"], &[], false), rules(&[], &["DELETE /a"], false)];
    for field in [
        "X-HTTP-Method-Override",
        "x-http-method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "x-http_method-override",
        "X-Original-URL",
        "X-Rewrite-URL",
    ] {
        let head = Request::builder().uri("/").header(field, "DELETE").body(()).unwrap().into_parts().0;
        for rules in &rules_of {
            assert_eq!(
                rules.check(&head, "/b"),
                Err(Denial::Override(field.to_ascii_lowercase())),
                "{field}"
            );
        }
        assert_eq!(Rules::default().check(&head, "/b"), Ok(()));
    }
    for (query, refused) in [
        ("_method=DELETE", true),
        ("a=1&_method=put", true),
        ("%5Fmethod=put", true),
        ("_Method", true),
        ("method=put", false),
        ("a=_method", false),
    ] {
        let head = Request::builder().uri(format!("/?{query}")).body(()).unwrap().into_parts().0;
        assert_eq!(rules_of[0].check(&head, "/b").is_err(), refused, "{query}");
    }
}

#[test]
fn what_is_no_rule_is_described() {
    for (text, why) in [
        ("", "has no method before its path"),
        ("/a", "has no method before its path"),
        ("GET", "has no method before its path"),
        ("get /a", "has a method in small letters"),
        ("G(T /a", "begins with something that is no method"),
        ("GET a", "has a path that does not begin with a slash"),
        ("GET *", "has a path that does not begin with a slash"),
        ("GET https://api.cxone.com/a", "has a path that does not begin with a slash"),
        ("GET /a*b", "has a star that is not at its end"),
        ("GET /a**", "has a star that is not at its end"),
        (
            "GET /a?b",
            "has a path with `%`, `?` or `#`: a rule has the path as people read it, without a query",
        ),
        (
            "GET /a%20b",
            "has a path with `%`, `?` or `#`: a rule has the path as people read it, without a query",
        ),
        ("GET /a//b", "has a path with two slashes in a row, which no request is read with"),
        ("GET /a/../b", "has a path that no request may have, because it has a segment `.` or `..`"),
        ("GET /a;b", "has a path that no request may have, because it has a semicolon"),
        (
            "GET /a ",
            "has a path that no request may have, because it has a segment with a space at its beginning, or a space or dot at its end",
        ),
    ] {
        assert_eq!(text.parse::<Rule>(), Err(Invalid::because(why)), "{text}");
    }
    for text in ["GET /a", "* /a/*", "PROPFIND /", "* /*", "GET /a b*", "GET /a.*"] {
        assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
    }
}
