//! Who may ask, and what the page may do.

use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Names by which a server that listens on this machine only may be asked. A page of another site
/// can make its own name lead here (DNS rebinding), but then it asks by that name.
#[derive(Debug)]
pub struct Guard {
    port: u16,
}

impl Guard {
    /// For a server on a loopback address.
    pub fn loopback(port: u16) -> Self {
        Self { port }
    }

    /// Whether a `Host` header names this machine by a loopback name and the right port.
    pub fn admits(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let right_port = match port {
            Some(port) => port.parse() == Ok(self.port),
            None => self.port == 80,
        };
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let address: Option<IpAddr> = match bare {
            Some(six) => six.parse().ok().filter(IpAddr::is_ipv6),
            None => name.parse().ok().filter(IpAddr::is_ipv4),
        };
        let local = name.eq_ignore_ascii_case("localhost")
            || address.is_some_and(|address| address.is_loopback());
        right_port && local
    }
}

/// The content security policy of a page: its own style and script, by their hashes, and data from
/// its own server; nothing else.
pub fn policy(page: &str) -> String {
    let mut policy = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'"
        .to_owned();
    for (directive, tag) in [("style-src", "style"), ("script-src", "script")] {
        policy += &format!("; {directive}");
        for text in inline(page, tag) {
            let hash = base64(&Sha256::digest(text.as_bytes()));
            policy += &format!(" 'sha256-{hash}'");
        }
    }
    policy
}

/// The texts of `<TAG>…</TAG>` without attributes; those with a type are data.
fn inline<'a>(page: &'a str, tag: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let texts = page.split(&open).skip(1);
    texts
        .filter_map(|text| Some(text.split_once(&close)?.0))
        .collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_names_are_admitted() {
        let guard = Guard::loopback(8044);
        for host in [
            "127.0.0.1:8044",
            "localhost:8044",
            "LocalHost:8044",
            "[::1]:8044",
        ] {
            assert!(guard.admits(host), "{host}");
        }
        for host in [
            "",
            "localhost",
            "localhost:80",
            "localhost.example:8044",
            "example.org:8044",
            "127.0.0.1.example:8044",
            "10.0.0.1:8044",
            "::1:8044",
            "[::2]:8044",
            "[127.0.0.1]:8044",
            "user@localhost:8044",
        ] {
            assert!(!guard.admits(host), "{host}");
        }
        assert!(Guard::loopback(80).admits("localhost"));
        assert!(Guard::loopback(80).admits("[::1]"));
    }

    /// Test vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    /// SHA-256 of "abc" from FIPS 180-2, appendix B.1.
    #[test]
    fn the_policy_has_the_hashes_of_style_and_script() {
        let page = "<style>abc</style><script type=\"x\">no</script><script>abc</script>";
        let policy = policy(page);
        let abc = "'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='";
        assert!(policy.contains(&format!("style-src {abc}")), "{policy}");
        assert!(policy.ends_with(&format!("script-src {abc}")), "{policy}");
        assert!(!policy.contains("unsafe"));
    }
}
