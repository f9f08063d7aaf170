//! The map in the crate's documentation is true: modules import as its table of floors says, and
//! files that call themselves pure are.
//!
//! Works on tokens, not on text: comments, strings and test code do not count, and paths inside
//! macros do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails where there is less than it expects")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module's floor and what it may import.
#[derive(Debug, Default)]
struct Row {
    floor: u32,
    may_import: BTreeSet<String>,
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file of the program, as its path under `src`; test files left out.
fn files() -> BTreeMap<String, String> {
    fn visit(directory: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(src()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    visit(&src(), &mut all);
    let tests: Vec<String> = all.iter().flat_map(|(name, text)| test_modules(name, text)).collect();
    all.retain(|name, _| {
        !tests.iter().any(|test| {
            let rest = name.strip_prefix(test.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    });
    all
}

/// The files' stems of the modules that `name` declares for tests only.
fn test_modules(name: &str, text: &str) -> Vec<String> {
    let directory = match name.strip_suffix("mod.rs") {
        Some(directory) => directory.to_owned(),
        None if matches!(name, "lib.rs" | "main.rs") => String::new(),
        None => format!("{}/", name.strip_suffix(".rs").unwrap()),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .windows(3)
        .filter_map(|three| match three {
            ["#[cfg(test)]", "mod", module] => module.strip_suffix(';'),
            _ => None,
        })
        .map(|module| format!("{directory}{module}"))
        .collect()
}

fn documentation(text: &str) -> Vec<&str> {
    text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect()
}

/// The words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The table of floors.
fn table(files: &BTreeMap<String, String>) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in documentation(&files["lib.rs"]) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", floor, modules, may_import, ""] = cells[..] else { continue };
        let Ok(floor) = floor.parse() else { continue };
        for module in quoted(modules) {
            let row = Row { floor, may_import: quoted(may_import).collect() };
            assert!(rows.insert(module.clone(), row).is_none(), "{module} has two rows");
        }
    }
    rows
}

/// The top module that a file belongs to.
fn top(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap()
}

/// The tokens of a file, groups taken apart, without doc comments and test code.
fn tokens(name: &str, text: &str) -> Vec<String> {
    let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut flat = Vec::new();
    flatten(stream, &mut flat);
    flat
}

fn flatten(stream: TokenStream, flat: &mut Vec<String>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                trees.next_if(|next| matches!(next, TokenTree::Punct(bang) if bang.as_char() == '!'));
                let attribute = trees.next_if(|next| matches!(next, TokenTree::Group(_)));
                if attribute.is_some_and(|group| group.to_string().replace(' ', "") == "[cfg(test)]") {
                    // What it stands before ends with its braces or a semicolon.
                    for skipped in trees.by_ref() {
                        let ends = match skipped {
                            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                            TokenTree::Punct(punct) => punct.as_char() == ';',
                            TokenTree::Ident(_) | TokenTree::Literal(_) => false,
                        };
                        if ends {
                            break;
                        }
                    }
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                flat.push(open.to_owned());
                flatten(group.stream(), flat);
                flat.push(close.to_owned());
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => flat.push(tree.to_string()),
        }
    }
}

/// What stands behind each `root::`, one step deep: `a` for `root::a::b`, `a` and `c` for
/// `root::{a::b, c}`.
fn behind(tokens: &[String], root: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in 0..tokens.len() {
        let rest = &tokens[start..];
        if rest.len() <= root.len() || !rest.iter().zip(root).all(|(own, due)| own == due) {
            continue;
        }
        let rest = &rest[root.len()..];
        // A longer path that ends so is another root: `super::super::` holds `super::`.
        if start > 0 && tokens[start - 1] == ":" {
            continue;
        }
        if rest.first().is_some_and(|first| first == "{") {
            let mut depth = 0;
            let mut at_start = true;
            for token in rest {
                match token.as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    "," if depth == 1 => at_start = true,
                    _ => {
                        if at_start && depth == 1 {
                            found.insert(token.clone());
                        }
                        at_start = false;
                    }
                }
                if depth == 0 {
                    break;
                }
            }
        } else if let Some(first) = rest.first() {
            found.insert(first.clone());
        }
    }
    found
}

/// The crate's modules that a file names, by `crate::` or by as many `super::` as lead to the root.
fn imports(name: &str, text: &str) -> BTreeSet<String> {
    let tokens = tokens(name, text);
    let mut found = behind(&tokens, &["crate", ":", ":"]);
    let to_root = ["super", ":", ":"].repeat(path(name).len());
    found.extend(behind(&tokens, &to_root));
    found
}

#[test]
fn every_module_has_its_row_and_every_row_its_module() {
    let files = files();
    let in_table: BTreeSet<String> = table(&files).into_keys().collect();
    let mut in_tree: BTreeSet<String> = files.keys().map(|name| top(name).to_owned()).collect();
    assert!(in_tree.remove("lib") && in_tree.remove("main"));
    assert_eq!(in_table, in_tree);
}

#[test]
fn the_table_leads_downwards_only() {
    let table = table(&files());
    for (module, row) in &table {
        for imported in &row.may_import {
            let below = &table.get(imported).unwrap_or_else(|| panic!("{imported} has no row")).floor;
            assert!(
                below < &row.floor,
                "{module} on floor {} may import {imported}, on floor {below}",
                row.floor
            );
        }
    }
}

#[test]
fn modules_import_no_more_than_the_table_says() {
    let files = files();
    let table = table(&files);
    for (name, text) in &files {
        let module = top(name);
        let Some(row) = table.get(module) else { continue };
        for imported in imports(name, text) {
            let may = imported == module || row.may_import.contains(&imported);
            assert!(may, "src/{name} imports {imported}, and {module} may not");
        }
    }
}

#[test]
fn the_binary_only_parses_and_runs() {
    let imported = behind(&tokens("main.rs", &files()["main.rs"]), &["cxone_proxy", ":", ":"]);
    assert_eq!(imported, ["cli", "config"].map(str::to_owned).into());
}

#[test]
fn the_heart_imports_its_siblings_and_only_the_service_imports_the_heart() {
    let files = files();
    assert!(files.contains_key("proxy/forward.rs"));
    for (name, text) in files {
        let knows_it = matches!(name.as_str(), "proxy/mod.rs" | "proxy/service.rs" | "proxy/forward.rs");
        if top(&name) == "proxy" && !knows_it {
            let siblings = behind(&tokens(&name, &text), &["super", ":", ":"]);
            assert!(!siblings.contains("forward"), "src/{name}");
        }
    }
}

/// A file's own place in the tree of modules: `a`, `b` for `a/b.rs`.
fn path(name: &str) -> Vec<&str> {
    let path = name.strip_suffix(".rs").unwrap();
    path.strip_suffix("/mod").unwrap_or(path).split('/').collect()
}

/// The modules that a file names beside or above it, by `super::` or by the name of its top module.
fn neighbours(name: &str, text: &str) -> BTreeSet<String> {
    let tokens = tokens(name, text);
    let path = path(name);
    let below = |base: &[&str], root: &[&str]| -> Vec<String> {
        // A longer path is looked at by itself.
        let found = behind(&tokens, root).into_iter().filter(|found| found != "super");
        found.map(|found| [base, &[found.as_str()]].concat().join("/")).collect()
    };
    let by_name = below(&path[..1], &["crate", ":", ":", path[0], ":", ":"]);
    let by_super = (1..=path.len()).flat_map(|steps| {
        let root = ["super", ":", ":"].repeat(steps);
        below(&path[..path.len() - steps], &root)
    });
    by_name.into_iter().chain(by_super).collect()
}

/// A module and those inside it are one thing, so that they may know each other.
#[test]
fn no_two_files_import_each_other() {
    let files = files();
    let imports: BTreeMap<String, BTreeSet<String>> =
        files.iter().map(|(name, text)| (path(name).join("/"), neighbours(name, text))).collect();
    for (one, imported) in &imports {
        for other in imported.iter().filter(|other| *other != one) {
            let is_inside = one.starts_with(&format!("{other}/")) || other.starts_with(&format!("{one}/"));
            let is_back = imports.get(other).is_some_and(|imported| imported.contains(one));
            assert!(is_inside || !is_back, "src/{one} and src/{other} import each other");
        }
    }
}

#[test]
fn pure_files_are_pure() {
    let files = files();
    let listed: BTreeSet<String> = {
        let documentation = documentation(&files["lib.rs"]).join("\n");
        let (_, list) = documentation.split_once("\nPure files ").unwrap();
        quoted(list.split("\n\n").next().unwrap()).collect()
    };
    let calls_itself_pure = |text: &str| {
        let words = documentation(text).join(" ");
        words.split_whitespace().any(|word| matches!(word, "Pure." | "Pure:"))
    };
    let says_so = files.iter().filter(|(_, text)| calls_itself_pure(text)).map(|(name, _)| name.clone());
    let says_so: BTreeSet<String> = says_so.collect();
    assert_eq!(listed, says_so, "lib.rs lists the files that call themselves pure");
    for name in listed {
        let impurity = impurity(&tokens(&name, &files[&name]));
        assert!(impurity.is_none(), "src/{name} is pure and uses {}", impurity.unwrap());
    }
}

fn starts_with(tokens: &[String], start: &[&str]) -> bool {
    tokens.len() >= start.len() && tokens.iter().zip(start).all(|(own, due)| own == due)
}

/// What a pure file must not use. tokio's `Instant` is a value like any other: reading it is not pure.
fn impurity(tokens: &[String]) -> Option<String> {
    let impure: [&[&str]; 10] = [
        &["async"],
        &["await"],
        &["tokio"],
        &["tracing"],
        &["fastrand"],
        &["Clock"],
        &["SystemTime", ":", ":", "now"],
        &["Instant", ":", ":", "now"],
        &["fs"],
        &["env"],
    ];
    let moment = ["tokio", ":", ":", "time", ":", ":", "Instant", ";"];
    (0..tokens.len()).map(|start| &tokens[start..]).find_map(|rest| {
        let found = impure.iter().find(|impure| starts_with(rest, impure))?;
        let is_moment = starts_with(rest, &moment);
        (!is_moment).then(|| found.concat())
    })
}

#[test]
fn what_is_checked_is_seen() {
    let text = r#"
        //! crate::doc::x
        use crate::{a::{b, c}, d, e::f};
        use super::super::g;
        fn x() { crate::h::y(); log!("crate::string", z = crate::i::J); }
        #[cfg(test)]
        mod tests { use crate::k; }
        #[cfg(test)]
        use crate::l::{m, n};
        mod p { }
    "#;
    let due = ["a", "d", "e", "g", "h", "i"].map(str::to_owned);
    assert_eq!(imports("one/two.rs", text), due.into());
    assert_eq!(test_modules("one/two.rs", "#[cfg(test)]\nmod tests;"), ["one/two/tests"]);
    assert_eq!(test_modules("one/mod.rs", "#[cfg(test)]\nmod tests;"), ["one/tests"]);
    let due = ["one/b", "one/two/c", "one/d", "one/e"].map(str::to_owned);
    let text = "use super::c; use super::super::{b, d::x}; use crate::one::e::y; use crate::f;";
    assert_eq!(neighbours("one/two/three.rs", text), due.into());
    let used = |text: &str| impurity(&tokens("one.rs", text));
    assert_eq!(used("use tokio::time::Instant; fn x(now: Instant) -> SystemTime { now }"), None);
    assert_eq!(used("fn x() { Instant::now() }").unwrap(), "Instant::now");
    assert_eq!(used("use tokio::time::sleep;").unwrap(), "tokio");
}
