//! `/`: the list of pages, for a person with a browser. Pure.

use std::fmt::Write;

use super::{PAGES, Pages};

/// An HTML page without style and script, so that the strictest policy fits it.
pub(super) fn render(pages: &Pages) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>cxone-proxy</title>\n<h1>cxone-proxy {}</h1>\n<ul>\n",
        escape(pages.version)
    );
    for (path, about) in PAGES {
        link(&mut html, path, about);
    }
    if pages.named {
        for profile in &pages.profiles {
            let name = profile.metrics.name();
            link(&mut html, &format!("/readyz/{name}"), &format!("the same for the profile {name}"));
        }
    }
    html.push_str("</ul>\n</html>\n");
    html
}

fn link(html: &mut String, path: &str, about: &str) {
    let (path, about) = (escape(path), escape(about));
    // Writing to a text cannot fail.
    let _ = writeln!(html, "<li><a href=\"{path}\">{path}</a> {about}");
}

/// Names come from the configuration, and a page must not depend on what the configuration forbids.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_name_is_text() {
        assert_eq!(escape("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
}
