//! The pure parts that every exchange passes, each as one closure that does it once: timed by
//! `hot_parts`, counted in instructions by `instructions`.

mod parse;
mod rules;

use std::error::Error;

/// One part, with the input of a usual exchange built in.
pub(crate) struct Part {
    /// As the results call it.
    pub(crate) name: &'static str,
    /// Does it once.
    pub(crate) once: Box<dyn FnMut()>,
}

impl Part {
    fn new(name: &'static str, once: impl FnMut() + 'static) -> Self {
        Self { name, once: Box::new(once) }
    }
}

/// Every part, in the order of the walk.
pub(crate) fn all() -> Result<Vec<Part>, Box<dyn Error>> {
    Ok(vec![
        parse::request(),
        rules::admit()?,
        rules::current_token()?,
        rules::outgoing()?,
        rules::replay(),
        parse::response(),
        rules::decide(),
        rules::incoming()?,
        parse::chunked(),
    ])
}
