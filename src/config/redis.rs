//! Where replicas share their token.

use std::path::PathBuf;

use url::Url;

use super::{
    options as o,
    validation::{Reported, Validation},
    values,
};
use crate::{invalid::Invalid, tokens::RedisSettings};

/// The store, where one is set.
pub(super) fn redis(validation: &mut Validation<'_>) -> Result<Option<RedisSettings>, Reported> {
    let url = validation.optional(&o::REDIS_URL, url);
    let password = validation.optional(&o::REDIS_PASSWORD_FILE, |text| {
        let path = PathBuf::from(text);
        values::secret_in_file(&path).map(|secret| (path, secret))
    });
    let (url, password) = (url?, password?);
    let Some(url) = url else {
        return match password {
            Some(_) => Err(validation.report(super::error::Fault::Together {
                missing: &o::REDIS_URL,
                set: o::REDIS_PASSWORD_FILE.name(),
            })),
            None => Ok(None),
        };
    };
    Ok(Some(RedisSettings { url, password }))
}

fn url(text: &str) -> Result<String, Invalid> {
    let url = Url::parse(text).map_err(|_| Invalid::because("is not a URL"))?;
    if !["redis", "rediss"].contains(&url.scheme()) {
        return Err(Invalid::because("does not begin with `redis://` or `rediss://`"));
    }
    if url.password().is_some() {
        return Err(Invalid::because("has a password in it, which belongs into a file"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Invalid::because("has no host"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Invalid::because("has a query or a fragment"));
    }
    Ok(text.to_owned())
}
