//! How to get tokens: the grant, what it needs, and what it does not use.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use url::Url;

use super::{
    arguments,
    error::{Chosen, Fault, Missing},
    options::{self as o, Entry},
    origins,
    source::Source,
    urls,
    validation::{Reported, Validation, unfit_value},
    values,
    warning::Warning,
};
use crate::{
    invalid::Invalid,
    secret::Secret,
    tokens::{ClientAuth, Credentials, Grant, Scopes, SecretPlace, SecretSource, Settings},
    upstream::BaseUrl,
};

/// The grants by their words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ClientCredentials,
    Password,
    AccessKey,
}

const KINDS: &[(&str, Kind)] = &[
    ("client_credentials", Kind::ClientCredentials),
    ("password", Kind::Password),
    ("access_key", Kind::AccessKey),
];

const WITH_CLIENT: &[&str] = &["client_credentials", "password"];
const WITH_KEY: &[&str] = &["password", "access_key"];
const WITH_AREA: &[&str] = &["access_key"];

/// The options that not every grant uses, and the grants that use them.
static USERS: &[(&Entry, &[&str])] = &[
    (&o::CLIENT_ID, WITH_CLIENT),
    (&o::CLIENT_SECRET, WITH_CLIENT),
    (&o::CLIENT_SECRET_FILE, WITH_CLIENT),
    (&o::CLIENT_SECRET_COMMAND, WITH_CLIENT),
    (&o::CLIENT_AUTH, WITH_CLIENT),
    (&o::ACCESS_KEY_ID, WITH_KEY),
    (&o::ACCESS_KEY_SECRET, WITH_KEY),
    (&o::ACCESS_KEY_SECRET_FILE, WITH_KEY),
    (&o::ACCESS_KEY_SECRET_COMMAND, WITH_KEY),
    (&o::AREA, WITH_AREA),
    (&o::SCOPES, WITH_CLIENT),
];

/// The options of one identifier and its secret, which is a value, a file, or what a command prints.
struct Pair {
    id: &'static Entry,
    secret: &'static Entry,
    file: &'static Entry,
    command: &'static Entry,
}

const CLIENT: Pair = Pair {
    id: &o::CLIENT_ID,
    secret: &o::CLIENT_SECRET,
    file: &o::CLIENT_SECRET_FILE,
    command: &o::CLIENT_SECRET_COMMAND,
};
const KEY: Pair = Pair {
    id: &o::ACCESS_KEY_ID,
    secret: &o::ACCESS_KEY_SECRET,
    file: &o::ACCESS_KEY_SECRET_FILE,
    command: &o::ACCESS_KEY_SECRET_COMMAND,
};

/// Everything about tokens. `base_url` is `None` where it has a fault of its own.
pub(super) fn oauth(
    validation: &mut Validation<'_>,
    base_url: Option<&BaseUrl>,
) -> Result<Settings, Reported> {
    let kind = validation.value(&o::GRANT, |text| values::one_of(text, KINDS));
    let scopes = validation.optional(&o::SCOPES, str::parse::<Scopes>).map(Option::unwrap_or_default);
    let refresh_margin = validation.duration(&o::REFRESH_MARGIN);
    // Without the grant it is not known which options are needed and which are not used.
    let kind = kind?;
    let chosen = chosen(validation, kind);
    find_unused(validation, &chosen);
    let grant = grant(validation, kind, &chosen);
    let token_url = token_url(validation, kind, &chosen, base_url);
    let origins = origins::with_token_url(
        validation.layers,
        &origins::origins(validation),
        kind == Kind::AccessKey,
        kind == Kind::Password,
    );
    Ok(Settings {
        grant: grant?,
        scopes: scopes?,
        token_url: token_url?,
        refresh_margin: refresh_margin?,
        origins,
    })
}

fn chosen(validation: &Validation<'_>, kind: Kind) -> Chosen {
    let word = KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| *word);
    Chosen { word, origin: validation.layers.source_of(&o::GRANT) }
}

/// An operator who sets what the grant does not use expects something else than what would happen. A grant
/// from a stronger source, though, is meant to win over what weaker sources set for another grant.
fn find_unused(validation: &mut Validation<'_>, chosen: &Chosen) {
    let layers = validation.layers;
    for &(entry, users) in USERS.iter().filter(|(_, users)| !users.contains(&chosen.word)) {
        for found in layers.not_weaker_than(&o::GRANT, entry) {
            let (name, origin, needed_by) = (entry.name(), found.source.clone(), chosen.clone());
            validation.report(Fault::Unused { name, origin, needed_by, users });
        }
    }
}

fn grant(validation: &mut Validation<'_>, kind: Kind, chosen: &Chosen) -> Result<Grant, Reported> {
    match kind {
        Kind::ClientCredentials => {
            let auth = client_auth(validation, ClientAuth::Body);
            let client = credentials(validation, &CLIENT, chosen);
            Ok(Grant::ClientCredentials { client: client?, auth: auth? })
        }
        Kind::Password => {
            let auth = client_auth(validation, ClientAuth::Basic);
            let client = credentials(validation, &CLIENT, chosen);
            let key = credentials(validation, &KEY, chosen);
            Ok(Grant::Password { client: client?, auth: auth?, key: key? })
        }
        Kind::AccessKey => Ok(Grant::AccessKey { key: credentials(validation, &KEY, chosen)? }),
    }
}

fn client_auth(validation: &mut Validation<'_>, otherwise: ClientAuth) -> Result<ClientAuth, Reported> {
    let words =
        [("basic", ClientAuth::Basic), ("basic_raw", ClientAuth::BasicRaw), ("body", ClientAuth::Body)];
    let auth =
        validation.optional(&o::CLIENT_AUTH, |text| values::one_of(text, &words))?.unwrap_or(otherwise);
    let layers = validation.layers;
    if auth == ClientAuth::BasicRaw
        && let Some(found) = layers.of(&o::CLIENT_ID).next().filter(|found| found.text.contains(':'))
    {
        let reason = "contains a colon, where `basic_raw` would end it (`basic` and `body` carry it)";
        return Err(validation.report(unfit_value(found, Invalid::because(reason))));
    }
    Ok(auth)
}

fn credentials(
    validation: &mut Validation<'_>,
    pair: &Pair,
    chosen: &Chosen,
) -> Result<Credentials, Reported> {
    let id = validation
        .optional(pair.id, values::identifier)
        .and_then(|id| id.ok_or_else(|| validation.report(missing(pair.id, None, chosen))));
    let secret = secret(validation, pair, chosen);
    Ok(Credentials { id: id?, secret: secret? })
}

fn missing(entry: &'static Entry, instead: Option<&'static Entry>, chosen: &Chosen) -> Fault {
    // The default grant is not worth a word: nobody chose it.
    let needed_by = (chosen.origin != Source::Default).then(|| chosen.clone());
    Fault::Missing(Missing { entry, instead, needed_by })
}

fn secret(validation: &mut Validation<'_>, pair: &Pair, chosen: &Chosen) -> Result<SecretSource, Reported> {
    let layers = validation.layers;
    let value = validation.optional(pair.secret, values::secret);
    let (strongest, contradictions) = layers.strongest_of(&[pair.secret, pair.file, pair.command]);
    if !contradictions.is_empty() {
        // The operator has to say first which of the two is meant.
        validation.faults.extend(contradictions);
        return Err(Reported);
    }
    let Some(found) = strongest else {
        return Err(validation.report(missing(pair.secret, Some(pair.file), chosen)));
    };
    if found.entry == pair.secret {
        return value?.map(SecretSource::Value).ok_or(Reported);
    }
    if found.entry == pair.command {
        let command = arguments::read(&found.text);
        let at_start = values::secret_of_command(&command)
            .map_err(|unfit| validation.report(unfit_value(found, unfit)))?;
        return Ok(SecretSource::Read { place: SecretPlace::Command(command.into()), at_start });
    }
    let path = PathBuf::from(&found.text);
    let (at_start, is_public) =
        secret_file(&path).map_err(|unfit| validation.report(unfit_value(found, unfit)))?;
    if is_public {
        validation.warnings.push(Warning::SecretReadableByAll(path.clone()));
    }
    Ok(SecretSource::Read { place: SecretPlace::File(path), at_start })
}

/// The secret in the file, and whether every user of the machine can read it.
fn secret_file(path: &Path) -> Result<(Secret, bool), Invalid> {
    let secret = values::secret_in_file(path)?;
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    Ok((secret, mode & 0o004 != 0))
}

fn token_url(
    validation: &mut Validation<'_>,
    kind: Kind,
    chosen: &Chosen,
    base_url: Option<&BaseUrl>,
) -> Result<Url, Reported> {
    let given = validation.optional(&o::TOKEN_URL, urls::token_url)?;
    if kind == Kind::AccessKey {
        return access_key_url(validation, chosen, given);
    }
    if let Some(url) = given {
        return Ok(url);
    }
    if kind == Kind::Password {
        return urls::token_url(urls::PASSWORD_TOKEN_URL).map_err(|_| Reported);
    }
    // Without a base URL its own fault has been reported.
    urls::token_url_of(base_url.ok_or(Reported)?).map_err(|unfit| {
        let layers = validation.layers;
        layers.of(&o::BASE_URL).next().map_or(Reported, |found| validation.report(unfit_value(found, unfit)))
    })
}

fn access_key_url(
    validation: &mut Validation<'_>,
    chosen: &Chosen,
    given: Option<Url>,
) -> Result<Url, Reported> {
    let layers = validation.layers;
    let area = validation.optional(&o::AREA, values::area);
    let (strongest, contradictions) = layers.strongest_of(&[&o::TOKEN_URL, &o::AREA]);
    validation.faults.extend(contradictions);
    let Some(found) = strongest else {
        return Err(validation.report(missing(&o::AREA, Some(&o::TOKEN_URL), chosen)));
    };
    if *found.entry == o::TOKEN_URL {
        return given.ok_or(Reported);
    }
    let area = area?.ok_or(Reported)?;
    urls::access_key_url_of(&area).map_err(|unfit| validation.report(unfit_value(found, unfit)))
}
