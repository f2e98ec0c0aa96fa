//! Trust stores and resource policies: there are none, and every action says so in AWS's words.
//!
//! A trust store's certificates come from a bucket, and the emulator has no buckets: none can be made. They belong to application load
//! balancers anyway. Resource policies are those of shared trust stores.

use super::names::check_named;
use crate::error::ApiError;
use crate::service::{Action, Call};
use crate::xml::Xml;

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "CreateTrustStore",
        parameters: &[
            "Name!",
            "CaCertificatesBundleS3Bucket!",
            "CaCertificatesBundleS3Key!",
            "CaCertificatesBundleS3ObjectVersion",
            "Tags.#.Key",
            "Tags.#.Value",
        ],
        run: no_bundle,
    },
    Action {
        name: "DescribeTrustStores",
        parameters: &["TrustStoreArns.#", "Names.#", "Marker", "PageSize:1-400"],
        run: describe,
    },
    Action {
        name: "ModifyTrustStore",
        parameters: &[
            "TrustStoreArn!",
            "CaCertificatesBundleS3Bucket!",
            "CaCertificatesBundleS3Key!",
            "CaCertificatesBundleS3ObjectVersion",
        ],
        run: missing,
    },
    Action { name: "DeleteTrustStore", parameters: &["TrustStoreArn!"], run: missing },
    Action {
        name: "AddTrustStoreRevocations",
        parameters: &[
            "TrustStoreArn!",
            "RevocationContents.#.S3Bucket",
            "RevocationContents.#.S3Key",
            "RevocationContents.#.S3ObjectVersion",
            "RevocationContents.#.RevocationType:CRL",
        ],
        run: missing,
    },
    Action { name: "RemoveTrustStoreRevocations", parameters: &["TrustStoreArn!", "RevocationIds.#:int!"], run: missing },
    Action {
        name: "DescribeTrustStoreRevocations",
        parameters: &["TrustStoreArn!", "RevocationIds.#:int", "Marker", "PageSize:1-400"],
        run: missing,
    },
    Action { name: "DescribeTrustStoreAssociations", parameters: &["TrustStoreArn!", "Marker", "PageSize:1-400"], run: missing },
    Action { name: "DeleteSharedTrustStoreAssociation", parameters: &["TrustStoreArn!", "ResourceArn!"], run: missing },
    Action { name: "GetTrustStoreCaCertificatesBundle", parameters: &["TrustStoreArn!"], run: missing },
    Action { name: "GetTrustStoreRevocationContent", parameters: &["TrustStoreArn!", "RevocationId:int!"], run: missing },
    Action { name: "GetResourcePolicy", parameters: &["ResourceArn!"], run: no_policy },
];

pub(super) fn no_trust_store(what: &str) -> ApiError {
    ApiError::new("TrustStoreNotFound", format!("Trust store '{what}' not found"))
}

fn missing(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    Err(no_trust_store(call.params.required("TrustStoreArn")))
}

fn no_bundle(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let [bucket, key] = ["CaCertificatesBundleS3Bucket", "CaCertificatesBundleS3Key"].map(|name| call.params.required(name));
    let message =
        format!("The CA certificates bundle '{key}' does not exist in bucket '{bucket}' (this emulator has no buckets)");
    Err(ApiError::new("CaCertificatesBundleNotFound", message))
}

fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let named = [call.params.texts("TrustStoreArns"), call.params.texts("Names")].concat();
    check_named("trust stores", named.len())?;
    match named.first() {
        Some(name) => Err(no_trust_store(name)),
        None => {
            out.texts("TrustStores", Vec::<&str>::new());
            Ok(())
        }
    }
}

fn no_policy(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("ResourceArn");
    Err(ApiError::new("ResourceNotFound", format!("No resource policy for '{arn}'")))
}
