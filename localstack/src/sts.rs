//! STS, the one action that clients use to find out who they are. Imports `service`, `xml`.

use crate::error::ApiError;
use crate::query::Dialect;
use crate::service::{Action, Call, Service};
use crate::xml::Xml;

/// Security Token Service.
pub(crate) const SERVICE: Service = Service {
    name: "sts",
    version: "2011-06-15",
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    dialect: Dialect::Query,
    actions: &[&[Action { name: "GetCallerIdentity", parameters: &[], run: get_caller_identity }]],
};

fn get_caller_identity(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let account = &call.state.place.account;
    out.text("Arn", format!("arn:aws:iam::{account}:user/landfall"));
    out.text("UserId", "AIDALANDFALLLOCALSTACK");
    out.text("Account", account);
    Ok(())
}
