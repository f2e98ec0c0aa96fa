//! The security policies of TLS listeners: which protocol versions and ciphers clients may use.
//!
//! Data of the NLB user guide ("Security policies for your Network Load Balancer"). `elbv2/tls.rs` shows them and checks names by them; the
//! data plane may ask what a name allows.

/// A security policy.
#[derive(Debug)]
pub(crate) struct SecurityPolicy {
    pub(crate) name: &'static str,
    /// Oldest first.
    pub(crate) protocols: &'static [&'static str],
    /// The kinds of ciphers that it has.
    kinds: &'static [Kind],
}

/// What a TLS listener gets that names no policy.
pub(crate) const DEFAULT: &str = "ELBSecurityPolicy-2016-08";

/// Ciphers that policies have together or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// TLS 1.3 with AES.
    Tls13,
    /// TLS 1.3 with ChaCha20.
    ChaCha,
    /// Forward secret, authenticated.
    Gcm,
    /// Forward secret, with SHA-2.
    Sha2,
    /// Forward secret, with SHA-1.
    Sha1,
    /// Without forward secrecy, authenticated or with SHA-2.
    Rsa,
    /// Without forward secrecy, with SHA-1.
    RsaSha1,
    TripleDes,
}

use Kind::{ChaCha, Gcm, Rsa, RsaSha1, Sha1, Sha2, Tls13, TripleDes};

/// Every cipher in the order of preference.
const CIPHERS: &[(&str, Kind)] = &[
    ("TLS_AES_128_GCM_SHA256", Tls13),
    ("TLS_AES_256_GCM_SHA384", Tls13),
    ("TLS_CHACHA20_POLY1305_SHA256", ChaCha),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", Gcm),
    ("ECDHE-RSA-AES128-GCM-SHA256", Gcm),
    ("ECDHE-ECDSA-AES128-SHA256", Sha2),
    ("ECDHE-RSA-AES128-SHA256", Sha2),
    ("ECDHE-ECDSA-AES128-SHA", Sha1),
    ("ECDHE-RSA-AES128-SHA", Sha1),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", Gcm),
    ("ECDHE-RSA-AES256-GCM-SHA384", Gcm),
    ("ECDHE-ECDSA-AES256-SHA384", Sha2),
    ("ECDHE-RSA-AES256-SHA384", Sha2),
    ("ECDHE-RSA-AES256-SHA", Sha1),
    ("ECDHE-ECDSA-AES256-SHA", Sha1),
    ("AES128-GCM-SHA256", Rsa),
    ("AES128-SHA256", Rsa),
    ("AES128-SHA", RsaSha1),
    ("AES256-GCM-SHA384", Rsa),
    ("AES256-SHA256", Rsa),
    ("AES256-SHA", RsaSha1),
    ("DES-CBC3-SHA", TripleDes),
];

const ONLY_1_3: &[&str] = &["TLSv1.3"];
const ONLY_1_2: &[&str] = &["TLSv1.2"];
const FROM_1_2: &[&str] = &["TLSv1.2", "TLSv1.3"];
const FROM_1_1: &[&str] = &["TLSv1.1", "TLSv1.2", "TLSv1.3"];
const FROM_1_0: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
const OLD_1_1: &[&str] = &["TLSv1.1", "TLSv1.2"];
const OLD_1_0: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2"];

const fn policy(name: &'static str, protocols: &'static [&'static str], kinds: &'static [Kind]) -> SecurityPolicy {
    SecurityPolicy { name, protocols, kinds }
}

/// Every policy that a network load balancer may have.
pub(crate) const ALL: &[SecurityPolicy] = &[
    policy("ELBSecurityPolicy-TLS13-1-3-2021-06", ONLY_1_3, &[Tls13, ChaCha]),
    policy("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", ONLY_1_3, &[Tls13, ChaCha]),
    policy("ELBSecurityPolicy-TLS13-1-2-2021-06", FROM_1_2, &[Tls13, ChaCha, Gcm, Sha2]),
    policy("ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", FROM_1_2, &[Tls13, ChaCha, Gcm, Sha2]),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", FROM_1_2, &[Tls13, ChaCha, Gcm]),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", FROM_1_2, &[Tls13, ChaCha, Gcm]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", FROM_1_2, &[Tls13, ChaCha, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-PQ-2025-09", FROM_1_2, &[Tls13, ChaCha, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", FROM_1_2, &[Tls13, ChaCha, Gcm, Sha2, Rsa]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09", FROM_1_2, &[Tls13, ChaCha, Gcm, Sha2, Rsa]),
    policy("ELBSecurityPolicy-TLS13-1-1-2021-06", FROM_1_1, &[Tls13, ChaCha, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-0-2021-06", FROM_1_0, &[Tls13, ChaCha, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-0-PQ-2025-09", FROM_1_0, &[Tls13, ChaCha, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04", ONLY_1_3, &[Tls13]),
    policy("ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09", ONLY_1_3, &[Tls13]),
    policy("ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04", FROM_1_2, &[Tls13, Gcm, Sha2]),
    policy("ELBSecurityPolicy-TLS13-1-2-FIPS-PQ-2025-09", FROM_1_2, &[Tls13, Gcm, Sha2]),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04", FROM_1_2, &[Tls13, Gcm]),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-FIPS-PQ-2025-09", FROM_1_2, &[Tls13, Gcm]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-2023-04", FROM_1_2, &[Tls13, Gcm, Sha2, Sha1]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-PQ-2025-09", FROM_1_2, &[Tls13, Gcm, Sha2, Sha1]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-2023-04", FROM_1_2, &[Tls13, Gcm, Sha2, Rsa]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-PQ-2025-09", FROM_1_2, &[Tls13, Gcm, Sha2, Rsa]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-2023-04", FROM_1_2, &[Tls13, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-PQ-2025-09", FROM_1_2, &[Tls13, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-1-FIPS-2023-04", FROM_1_1, &[Tls13, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-0-FIPS-2023-04", FROM_1_0, &[Tls13, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS13-1-0-FIPS-PQ-2025-09", FROM_1_0, &[Tls13, Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", ONLY_1_2, &[Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS-1-2-2017-01", ONLY_1_2, &[Gcm, Sha2, Rsa]),
    policy("ELBSecurityPolicy-TLS-1-1-2017-01", OLD_1_1, &[Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-TLS-1-0-2015-04", OLD_1_0, &[Gcm, Sha2, Sha1, Rsa, RsaSha1, TripleDes]),
    policy(DEFAULT, OLD_1_0, &[Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-2015-05", OLD_1_0, &[Gcm, Sha2, Sha1, Rsa, RsaSha1]),
    policy("ELBSecurityPolicy-FS-1-2-Res-2020-10", ONLY_1_2, &[Gcm]),
    policy("ELBSecurityPolicy-FS-1-2-Res-2019-08", ONLY_1_2, &[Gcm, Sha2]),
    policy("ELBSecurityPolicy-FS-1-2-2019-08", ONLY_1_2, &[Gcm, Sha2, Sha1]),
    policy("ELBSecurityPolicy-FS-1-1-2019-08", OLD_1_1, &[Gcm, Sha2, Sha1]),
    policy("ELBSecurityPolicy-FS-2018-06", OLD_1_0, &[Gcm, Sha2, Sha1]),
];

/// The policy with a name.
pub(crate) fn find(name: &str) -> Option<&'static SecurityPolicy> {
    ALL.iter().find(|policy| policy.name == name)
}

impl SecurityPolicy {
    /// Names of its ciphers, the preferred ones first.
    pub(crate) fn ciphers(&self) -> impl Iterator<Item = &'static str> {
        CIPHERS.iter().filter(|(_, kind)| self.kinds.contains(kind)).map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_the_default_is_one_of_them() {
        for (at, policy) in ALL.iter().enumerate() {
            assert!(ALL[..at].iter().all(|other| other.name != policy.name), "{} twice", policy.name);
            assert_eq!(
                policy.protocols.contains(&"TLSv1.3"),
                policy.ciphers().any(|cipher| cipher.starts_with("TLS_")),
                "{}: ciphers of TLS 1.3 if and only if it has the protocol",
                policy.name
            );
        }
        assert_eq!(find(DEFAULT).unwrap().ciphers().count(), 18);
        assert_eq!(find("ELBSecurityPolicy-TLS13-1-2-Res-2021-06").unwrap().ciphers().count(), 7);
        assert!(find("ELBSecurityPolicy-2016-09").is_none());
    }
}
