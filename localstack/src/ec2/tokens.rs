//! Client tokens: a creating call that is made again with the same token makes nothing new.
//!
//! Imports `model`. SDKs add a token by themselves, so that a retry after a lost answer is harmless.

use crate::error::ApiError;
use crate::ids;
use crate::model::network::Token;
use crate::service::Call;

/// The ids of what a call with this token has made before.
pub(super) fn made(call: &Call<'_>, action: &str) -> Result<Option<Vec<String>>, ApiError> {
    let Some(token) = call.params.text("ClientToken") else { return Ok(None) };
    match call.state.network.tokens.get(&format!("{action}/{token}")) {
        Some(known) if known.parameters != fingerprint(call) => {
            let message = format!("The client token '{token}' was used before with other parameters");
            Err(ApiError::new("IdempotentParameterMismatch", message))
        }
        known => Ok(known.map(|known| known.made.clone())),
    }
}

/// Takes down what a call has made.
pub(super) fn remember(call: &mut Call<'_>, action: &str, made: Vec<String>) {
    if let Some(token) = call.params.text("ClientToken") {
        let parameters = fingerprint(call);
        call.state.network.tokens.insert(format!("{action}/{token}"), Token { parameters, made });
    }
}

fn fingerprint(call: &Call<'_>) -> String {
    ids::hex(&format!("{:?}", call.params), 32)
}
