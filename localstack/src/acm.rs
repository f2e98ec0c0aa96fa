//! Certificate Manager, as TLS listeners need it: the table of its actions.
//!
//! `acm/certificates.rs` imports, requests and deletes, `acm/show.rs` lists and describes, `acm/tags.rs` tags. The certificates themselves
//! are in `model/certificates.rs`.

mod certificates;
mod show;
mod tags;

use crate::query::Dialect;
use crate::service::{Action, Service};

/// AWS Certificate Manager.
pub(crate) const SERVICE: Service =
    Service { name: "acm", version: "2015-12-08", namespace: "CertificateManager", dialect: Dialect::Json, actions: &[ACTIONS] };

const ACTIONS: &[Action] = &[
    Action {
        name: "ImportCertificate",
        parameters: &[
            "CertificateArn",
            "Certificate:blob!",
            "PrivateKey:blob!",
            "CertificateChain:blob",
            "Tags.#.Key",
            "Tags.#.Value",
        ],
        run: certificates::import,
    },
    Action {
        name: "RequestCertificate",
        parameters: &[
            "DomainName!",
            "SubjectAlternativeNames.#",
            "ValidationMethod:DNS|EMAIL",
            "IdempotencyToken",
            "KeyAlgorithm:RSA_2048|EC_prime256v1|EC_secp384r1",
            "Tags.#.Key",
            "Tags.#.Value",
        ],
        run: certificates::request,
    },
    Action { name: "DescribeCertificate", parameters: &["CertificateArn!"], run: show::describe },
    Action {
        name: "ListCertificates",
        parameters: &[
            "CertificateStatuses.#:PENDING_VALIDATION|ISSUED|INACTIVE|EXPIRED|VALIDATION_TIMED_OUT|REVOKED|FAILED",
            "Includes.keyTypes.#:RSA_1024|RSA_2048|RSA_3072|RSA_4096|EC_prime256v1|EC_secp384r1|EC_secp521r1",
            "Includes.keyUsage.#",
            "Includes.extendedKeyUsage.#",
            "MaxItems:1-1000",
            "NextToken",
        ],
        run: show::list,
    },
    Action { name: "GetCertificate", parameters: &["CertificateArn!"], run: show::get },
    Action { name: "DeleteCertificate", parameters: &["CertificateArn!"], run: certificates::delete },
    Action { name: "AddTagsToCertificate", parameters: &["CertificateArn!", "Tags.#.Key!", "Tags.#.Value"], run: tags::add },
    Action { name: "ListTagsForCertificate", parameters: &["CertificateArn!"], run: tags::list },
    Action {
        name: "RemoveTagsFromCertificate",
        parameters: &["CertificateArn!", "Tags.#.Key!", "Tags.#.Value"],
        run: tags::remove,
    },
];

#[cfg(test)]
mod tests;
