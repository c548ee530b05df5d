//! References of images, read and completed as Kubernetes does (`github.com/distribution/reference`): `nginx` is
//! `docker.io/library/nginx:latest`.

/// Bytes of a reference that can be one: a host and a path, a tag of 128, a digest of 135.
const MAX_REFERENCE: usize = 1024;
/// Bytes of the path of a repository ("RepositoryNameTotalLengthMax").
const MAX_PATH: usize = 255;
/// Bytes of a tag: `[\w][\w.-]{0,127}`.
const MAX_TAG: usize = 128;

const DEFAULT_HOST: &str = "docker.io";
const LEGACY_HOST: &str = "index.docker.io";
const OFFICIAL: &str = "library";

/// The reference of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'t> {
    /// The host with its port, as it is written or implied.
    host: &'t str,
    /// Whether `library/` is to be thought before the path.
    official: bool,
    path: &'t str,
    /// Whatever follows the path.
    suffix: &'t str,
    tag: Option<&'t str>,
    digest: Option<&'t str>,
}

impl<'t> Reference<'t> {
    /// Reads a reference; nothing if no container runtime would take it.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let identifier = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.is_empty() || text.len() > MAX_REFERENCE || identifier {
            return None;
        }
        let (host, remainder) = split_host(text);
        let end = remainder.find([':', '@']).unwrap_or(remainder.len());
        let (path, suffix) = remainder.split_at_checked(end)?;
        let (tagged, digest) = match suffix.split_once('@') {
            Some((tagged, digest)) => (tagged, Some(digest)),
            None => (suffix, None),
        };
        let tag = match tagged.strip_prefix(':') {
            Some(tag) => Some(tag),
            None if tagged.is_empty() => None,
            None => return None,
        };
        let official = host == DEFAULT_HOST && !path.contains('/');
        let length = if official { path.len().saturating_add(OFFICIAL.len()).saturating_add(1) } else { path.len() };
        let valid = is_host(host)
            && is_path(path)
            && length <= MAX_PATH
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest);
        valid.then_some(Self { host, official, path, suffix, tag, digest })
    }

    /// The tag; `latest` if there is neither tag nor digest. A tag beside a digest is told, though it has no effect.
    pub(super) fn tag(&self) -> Option<&'t str> {
        match (self.tag, self.digest) {
            (None, None) => Some("latest"),
            (tag, _) => tag,
        }
    }

    pub(super) const fn has_digest(&self) -> bool {
        self.digest.is_some()
    }
}

/// The host and the rest, as `splitDockerDomain` has it; `library/` is left out.
fn split_host(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((LEGACY_HOST, rest)) => (DEFAULT_HOST, rest),
        Some((first, rest)) if is_host_like(first) => (first, rest),
        _ => (DEFAULT_HOST, text),
    }
}

fn is_host_like(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `host [':' port-number]`, where the host is a name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) if is_made_of(address, |byte| byte.is_ascii_hexdigit() || byte == b':') => {
                ("v6", after)
            }
            _ => return false,
        },
        None => text.split_at_checked(text.find(':').unwrap_or(text.len())).unwrap_or((text, "")),
    };
    let label = |label: &str| {
        is_made_of(label, |byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| is_made_of(port, |b| b.is_ascii_digit()));
    port && host.split('.').all(label)
}

/// `path-component ['/' path-component]*`
fn is_path(path: &str) -> bool {
    path.split('/').all(|component| {
        let mut alphanumeric = false;
        let mut rest = component.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' => {
                    alphanumeric = true;
                    rest = after;
                    continue;
                }
                // A separator: one period, one or two underscores, any number of dashes.
                b'.' if alphanumeric => rest = after,
                b'_' if alphanumeric => rest = after.strip_prefix(b"_").unwrap_or(after),
                b'-' if alphanumeric => {
                    rest = after.get(after.iter().take_while(|byte| **byte == b'-').count()..).unwrap_or_default();
                }
                _ => return false,
            }
            alphanumeric = false;
        }
        alphanumeric
    })
}

pub(super) fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG
        && is_made_of(tag, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        && !tag.starts_with(['.', '-'])
}

/// A digest of an algorithm that runtimes know, in lower case.
fn is_digest(digest: &str) -> bool {
    let Some((algorithm, encoded)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    encoded.len() == length && is_made_of(encoded, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_made_of(text: &str, is: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is)
}

/// A registry, or a part of one: what the repositories of images are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registry {
    host: Box<str>,
    /// Whole components; empty for the whole host.
    path: Box<str>,
}

impl Registry {
    /// Reads an entry of a list of registries.
    ///
    /// # Errors
    /// What is wrong with it and what would be right.
    pub(super) fn parse(entry: &str) -> Result<Self, String> {
        let shown = super::at::shorten(entry);
        let (trimmed, account) = match entry.strip_suffix('/') {
            Some(trimmed) => (trimmed, true),
            None => (entry, false),
        };
        let (host, path) = match trimmed.split_once('/') {
            Some(_) => split_host(trimmed),
            None if trimmed == LEGACY_HOST => (DEFAULT_HOST, ""),
            None if is_host_like(trimmed) => (trimmed, ""),
            None if account => (DEFAULT_HOST, trimmed),
            None => {
                return Err(format!(
                    "`{shown}` is not a registry: a host has a dot or a port, or is `localhost`; \
                     of Docker Hub, write `docker.io/library/{shown}` for the image, `docker.io/{shown}/` for the account"
                ));
            }
        };
        if !is_host(host) || (!path.is_empty() && !is_path(path)) {
            return Err(format!(
                "`{shown}` is not a registry; write `host`, `host:port` or `host/path`, without a tag"
            ));
        }
        let host = host.to_ascii_lowercase();
        if host == DEFAULT_HOST && !path.is_empty() && !path.contains('/') && path != OFFICIAL && !account {
            return Err(format!(
                "`{shown}` is the image `docker.io/library/{path}`, or all images of the account `docker.io/{path}/`; write the one that is meant"
            ));
        }
        Ok(Self { host: host.into(), path: path.into() })
    }

    /// Whether an image comes from here. Hosts are names of DNS, whose case does not matter.
    pub(super) fn has(&self, image: &Reference<'_>) -> bool {
        self.rest(image).is_some()
    }

    /// The path of an image that comes from here, without what this names of it.
    fn rest<'t>(&self, image: &Reference<'t>) -> Option<(bool, &'t str)> {
        if !self.host.eq_ignore_ascii_case(image.host) {
            return None;
        }
        let path = match (&*self.path, image.official) {
            ("", official) => return Some((official, image.path)),
            (OFFICIAL, true) => return Some((false, image.path)),
            (path, true) => path.strip_prefix(OFFICIAL)?.strip_prefix('/')?,
            (path, false) => path,
        };
        match image.path.strip_prefix(path)? {
            "" => Some((false, "")),
            rest => rest.strip_prefix('/').map(|rest| (false, rest)),
        }
    }

    /// The text of an image that comes from here, as it is called in another registry.
    pub(super) fn rename(&self, image: &Reference<'_>, to: &Self) -> Option<String> {
        let (official, rest) = self.rest(image)?;
        let mut text = to.host.to_string();
        for part in [&*to.path, if official { OFFICIAL } else { "" }, rest] {
            if !part.is_empty() {
                text.push('/');
                text.push_str(part);
            }
        }
        text.push_str(image.suffix);
        Some(text)
    }

    /// Whether the other is a part of this, or this itself.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let rest = other.path.strip_prefix(&*self.path);
        self.host == other.host
            && (self.path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "sha256:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa";

    /// What `ParseNormalizedNamed` and `TagNameOnly` make of them.
    #[test]
    fn are_completed_as_kubernetes_does() {
        for (image, name, tag) in [
            ("nginx", "docker.io/library/nginx", Some("latest")),
            ("nginx:1.21", "docker.io/library/nginx", Some("1.21")),
            ("docker.io/nginx", "docker.io/library/nginx", Some("latest")),
            ("index.docker.io/nginx", "docker.io/library/nginx", Some("latest")),
            ("docker.io/library/nginx", "docker.io/library/nginx", Some("latest")),
            ("bitnami/redis:7", "docker.io/bitnami/redis", Some("7")),
            ("localhost/nginx", "localhost/nginx", Some("latest")),
            ("localhost:5000/nginx", "localhost:5000/nginx", Some("latest")),
            ("192.168.64.1:5000/nginx:1", "192.168.64.1:5000/nginx", Some("1")),
            ("GHCR/x", "GHCR/x", Some("latest")),
            ("[::1]:5000/x/y", "[::1]:5000/x/y", Some("latest")),
            ("a.b/c/d__e/f--g.h", "a.b/c/d__e/f--g.h", Some("latest")),
            ("test:5000", "docker.io/library/test", Some("5000")),
            ("Docker.io/nginx", "Docker.io/nginx", Some("latest")),
            (&format!("nginx@{SHA}"), "docker.io/library/nginx", None),
            (&format!("a/b/c:1@{SHA}"), "docker.io/a/b/c", Some("1")),
        ] {
            let read = Reference::parse(image).unwrap_or_else(|| panic!("{image} is a reference"));
            let library = if read.official { "library/" } else { "" };
            assert_eq!(format!("{}/{library}{}", read.host, read.path), name, "{image}");
            assert_eq!(read.tag(), tag, "{image}");
            assert_eq!(read.has_digest(), image.contains('@'), "{image}");
        }
    }

    #[test]
    fn are_refused_as_kubernetes_does() {
        for image in [
            "",
            " nginx",
            "nginx ",
            "Nginx",
            "library/Nginx",
            "nginx:",
            "nginx@",
            "nginx:-1",
            "nginx:.1",
            "nginx:a:b",
            "nginx@sha256:abc",
            "nginx@sha256:7CC4B5AEFD1D0CADF8D97D4350462BA51C694EBCA145B08D7D41B41ACC8DB5AA",
            "nginx@md5:7cc4b5aefd1d0cadf8d97d4350462ba5",
            "/nginx",
            "nginx/",
            "a//b",
            "a..b/c.d",
            "a___b/c",
            "a_.b",
            "docker.io./nginx",
            "docker.io:/nginx",
            "docker.io:port/nginx",
            "-a.b/c",
            "registry.example.com@evil.example/x",
            "ghcr.io/example/../evil",
            "https://ghcr.io/x",
            "ngïnx",
            "nginx\n",
            "7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa",
            &format!("a.b/{}", "x".repeat(256)),
            &format!("nginx:{}", "1".repeat(129)),
        ] {
            assert_eq!(Reference::parse(image), None, "{image}");
        }
    }

    #[test]
    fn come_from_registries() {
        for (registry, image, has) in [
            ("docker.io", "nginx", true),
            ("docker.io", "docker.io/a/b", true),
            ("index.docker.io", "a/b", true),
            ("docker.io/library", "nginx", true),
            ("docker.io/library/nginx", "nginx:1", true),
            ("docker.io/library/nginx", "nginx-evil", false),
            ("docker.io/library/ngin", "nginx", false),
            ("library/nginx", "docker.io/nginx", true),
            ("docker.io/library", "library-evil/x", false),
            ("docker.io/bitnami/", "bitnami/redis", true),
            ("docker.io/bitnami/", "bitnami", false),
            ("bitnami/", "docker.io/bitnami/redis", true),
            ("docker.io/bitnami/", "bitnami-evil/redis", false),
            ("192.168.64.1:5000", "192.168.64.1:5000/nginx", true),
            ("192.168.64.1:5000", "192.168.64.1:50001/x", false),
            ("192.168.64.1", "192.168.64.1:5000/x", false),
            ("192.168.64.1:5000/team", "192.168.64.1:5000/team/x", true),
            ("192.168.64.1:5000/team", "192.168.64.1:5000/teams/x", false),
            ("ghcr.io", "GHCR.io/x", true),
            ("GHCR.io", "ghcr.io/x", true),
            ("ghcr.io", "ghcr.io.evil.example/x", false),
            ("ghcr.io", "evil.example/ghcr.io/x", false),
            ("ghcr.io", "ghcr.io:443/x", false),
            ("localhost", "localhost/x", true),
            ("localhost", "docker.io/localhost/x", false),
            ("docker.io", "Docker.io/nginx", true),
            ("docker.io/library", "Docker.io/nginx", false),
        ] {
            let image = Reference::parse(image).unwrap();
            assert_eq!(Registry::parse(registry).unwrap().has(&image), has, "{registry} has {image:?}");
        }
    }

    #[test]
    fn are_renamed_into_other_registries() {
        for (from, to, image, renamed) in [
            ("docker.io", "mirror:5000", "nginx", Some("mirror:5000/library/nginx")),
            ("docker.io", "mirror:5000/hub", "a/b:1", Some("mirror:5000/hub/a/b:1")),
            ("docker.io/library", "mirror:5000/hub", "nginx:1", Some("mirror:5000/hub/nginx:1")),
            ("docker.io/library/nginx", "mirror:5000/web", "nginx:1", Some("mirror:5000/web:1")),
            ("ghcr.io/a", "m.example", "ghcr.io/a/b@sha256", None),
            ("ghcr.io/a", "m.example", "ghcr.io/ab/c", None),
        ] {
            let [from, to] = [from, to].map(|registry| Registry::parse(registry).unwrap());
            let after = Reference::parse(image).and_then(|image| from.rename(&image, &to));
            assert_eq!(after.as_deref(), renamed, "{image}");
        }
        let image = format!("nginx:1@{SHA}");
        let [from, to] = ["docker.io", "m.example"].map(|registry| Registry::parse(registry).unwrap());
        let renamed = from.rename(&Reference::parse(&image).unwrap(), &to);
        assert_eq!(renamed.unwrap(), format!("m.example/library/nginx:1@{SHA}"));
    }
}
