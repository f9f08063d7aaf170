//! The pure parts that requests pass, each as one closure that does it once: timed by `hot_parts`,
//! counted in instructions by `instructions`.
//!
//! Parts that are private to the library, such as the choice of the fields that pass, are measured
//! with the whole path only: nothing becomes public for a measurement.

mod request;
mod response;

use std::error::Error;

/// One part, with the input of a usual request built in.
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
        request::admit()?,
        request::current_token()?,
        response::decide(),
        response::count(),
        response::cookie()?,
        response::location()?,
        response::json_links()?,
        response::problem(),
    ])
}
