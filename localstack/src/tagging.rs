//! Resource Groups Tagging: everything that has tags, of all services, found by them.
//!
//! Imports the services' tagged resources. What is not tagged is not in the index; how far the index lags behind is `durations`' matter.

use std::collections::{BTreeMap, BTreeSet};

use crate::ec2;
use crate::error::ApiError;
use crate::model::{State, Tags};
use crate::page::page;
use crate::query::{Dialect, Params};
use crate::service::{Action, Call, Service};
use crate::xml::Xml;

/// Resource Groups Tagging API.
pub(crate) const SERVICE: Service = Service {
    name: "tagging",
    version: "2017-01-26",
    namespace: "ResourceGroupsTaggingAPI_20170126",
    dialect: Dialect::Json,
    actions: &[ACTIONS],
};

const ACTIONS: &[Action] = &[
    Action {
        name: "GetResources",
        parameters: &[
            "TagFilters.#.Key",
            "TagFilters.#.Values.#",
            "ResourceTypeFilters.#",
            "ResourceARNList.#",
            "ResourcesPerPage:1-100",
            "PaginationToken",
            "IncludeComplianceDetails:false",
            "ExcludeCompliantResources:false",
        ],
        run: get_resources,
    },
    Action { name: "GetTagKeys", parameters: &["PaginationToken"], run: get_tag_keys },
    Action { name: "GetTagValues", parameters: &["Key!", "PaginationToken"], run: get_tag_values },
];

/// Resources of a page that does not say how many it wants.
const PAGE: usize = 50;
/// Tag keys or values of a page.
const PAGE_OF_TEXTS: usize = 1000;

const MAX_TAG_FILTERS: usize = 50;
const MAX_TAG_VALUES: usize = 20;
const MAX_ARNS: usize = 100;

/// The types that resources of these services have; a filter for another one is a mistake.
const TYPES: &[(&str, &[&str])] = &[
    (
        "elasticloadbalancing",
        &[
            "listener",
            "listener/app",
            "listener/gwy",
            "listener/net",
            "listener-rule",
            "listener-rule/app",
            "listener-rule/net",
            "loadbalancer",
            "loadbalancer/app",
            "loadbalancer/gwy",
            "loadbalancer/net",
            "targetgroup",
            "truststore",
        ],
    ),
    ("acm", &["certificate"]),
];

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

/// All that has tags, by ARN.
fn tagged(state: &State) -> BTreeMap<String, &Tags> {
    let balancing = &state.balancing;
    let own = |(arn, tags): (&String, _)| (arn.clone(), tags);
    let mut all: BTreeMap<String, &Tags> = BTreeMap::new();
    all.extend(balancing.load_balancers.iter().map(|(arn, item)| own((arn, &item.tags))));
    all.extend(balancing.target_groups.iter().map(|(arn, item)| own((arn, &item.tags))));
    all.extend(balancing.listeners.iter().map(|(arn, item)| own((arn, &item.tags))));
    all.extend(state.certificates.iter().map(|(arn, item)| own((arn, &item.tags))));
    all.extend(ec2::tagged(&state.network).map(|(kind, id, tags)| (state.place.arn("ec2", &format!("{kind}/{id}")), tags)));
    all.retain(|_, tags| !tags.is_empty());
    all
}

/// A filter by resource type: `ec2`, or `ec2:subnet`.
struct Type<'a> {
    service: &'a str,
    kind: Option<&'a str>,
}

impl<'a> Type<'a> {
    fn read(text: &'a str) -> Result<Self, ApiError> {
        let (service, kind) = text.split_once(':').map_or((text, None), |(service, kind)| (service, Some(kind)));
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/".contains(&byte));
        if !word(service) || !kind.is_none_or(word) {
            return Err(invalid(format!("'{text}' is not a resource type: it needs a form like ec2 or ec2:subnet")));
        }
        if let Some((_, kinds)) = TYPES.iter().find(|(known, _)| *known == service)
            && let Some(kind) = kind.filter(|kind| !kinds.contains(kind))
        {
            return Err(invalid(format!("'{kind}' is not a resource type of {service}; there are {}", kinds.join(", "))));
        }
        Ok(Self { service, kind })
    }

    fn accepts(&self, arn: &str) -> bool {
        let mut parts = arn.splitn(6, ':').skip(2);
        let (service, resource) = (parts.next().unwrap_or_default(), parts.nth(2).unwrap_or_default());
        let of_kind = |kind: &str| resource.strip_prefix(kind).is_some_and(|rest| rest.starts_with(['/', ':']));
        service == self.service && self.kind.is_none_or(of_kind)
    }
}

fn get_resources(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let filters = read_tag_filters(params)?;
    let types: Vec<Type<'_>> = params.texts("ResourceTypeFilters").into_iter().map(Type::read).collect::<Result<_, _>>()?;
    let arns: BTreeSet<&str> = params.texts("ResourceARNList").into_iter().collect();
    if arns.len() > MAX_ARNS {
        return Err(invalid(format!("ResourceARNList can have at most {MAX_ARNS} ARNs")));
    }
    let narrowed = ["TagFilters", "ResourceTypeFilters", "ResourcesPerPage"].iter().any(|name| params.has(name));
    if !arns.is_empty() && narrowed {
        return Err(invalid("ResourceARNList cannot be used together with TagFilters, ResourceTypeFilters or ResourcesPerPage"));
    }
    let rows: BTreeMap<String, (String, &Tags)> =
        tagged(call.state).into_iter().map(|(arn, tags)| (arn.clone(), (arn, tags))).collect();
    let wanted = |(arn, tags): &(String, &Tags)| {
        (arns.is_empty() || arns.contains(arn.as_str()))
            && (types.is_empty() || types.iter().any(|kind| kind.accepts(arn)))
            && filters
                .iter()
                .all(|(key, values)| tags.get(*key).is_some_and(|value| values.is_empty() || values.contains(&value.as_str())))
    };
    let size = params.number("ResourcesPerPage").and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE);
    let page = page(&rows, params.text("PaginationToken"), size, wanted).map_err(|error| invalid(error.message))?;
    out.list("ResourceTagMappingList", page.items, |out, (arn, tags)| {
        out.text("ResourceARN", arn);
        out.list("Tags", *tags, |out, (key, value)| {
            out.text("Key", key);
            out.text("Value", value);
        });
    });
    // An empty token ends the listing (API reference).
    out.text("PaginationToken", page.next.unwrap_or_default());
    Ok(())
}

/// Key and values of each tag filter; no values: any will do.
fn read_tag_filters(params: &Params) -> Result<Vec<(&str, Vec<&str>)>, ApiError> {
    let mut filters = Vec::new();
    for filter in params.items("TagFilters") {
        let key = filter.text("Key").filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| invalid("A tag filter needs a key (TagFilters)"))?;
        let values = filter.texts("Values");
        if values.len() > MAX_TAG_VALUES {
            return Err(invalid(format!("The tag filter '{key}' can have at most {MAX_TAG_VALUES} values")));
        }
        filters.push((key, values));
    }
    if filters.len() > MAX_TAG_FILTERS {
        return Err(invalid(format!("There can be at most {MAX_TAG_FILTERS} tag filters (TagFilters)")));
    }
    Ok(filters)
}

fn get_tag_keys(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let keys = tagged(call.state).values().flat_map(|tags| tags.keys().cloned()).collect();
    list_texts(call, out, "TagKeys", keys)
}

fn get_tag_values(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let key = call.params.required("Key");
    let values = tagged(call.state).values().filter_map(|tags| tags.get(key).cloned()).collect();
    list_texts(call, out, "TagValues", values)
}

fn list_texts(call: &Call<'_>, out: &mut Xml, name: &str, texts: BTreeSet<String>) -> Result<(), ApiError> {
    let rows: BTreeMap<String, String> = texts.into_iter().map(|text| (text.clone(), text)).collect();
    let token = call.params.text("PaginationToken");
    let page = page(&rows, token, PAGE_OF_TEXTS, |_| true).map_err(|error| invalid(error.message))?;
    out.texts(name, page.items);
    out.text("PaginationToken", page.next.unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Kit, listener};

    fn arns(kit: &Kit, parameters: &[(&str, &str)]) -> Vec<String> {
        let answer = kit.json("tagging", "GetResources", parameters).unwrap();
        let rows = answer["ResourceTagMappingList"].as_array().unwrap();
        rows.iter().map(|row| row["ResourceARN"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn resources_are_found_by_type_and_tag() {
        let kit = Kit::instant();
        let tag = [("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "web")];
        let (balancer, group) = (kit.load_balancer("lb", &tag), kit.target_group("tg", &tag));
        let parameters = [listener(&balancer, "80", &group), tag.to_vec()].concat();
        let listener = crate::testing::first(&kit.elb("CreateListener", &parameters).unwrap(), "ListenerArn");
        let own = [("TagFilters.1.Key", "team"), ("TagFilters.1.Values.1", "db"), ("TagFilters.1.Values.2", "web")];
        assert_eq!(arns(&kit, &own), [listener.clone(), balancer.clone(), group.clone()]);
        for (kind, wanted) in [
            ("elasticloadbalancing:loadbalancer/net", vec![balancer.clone()]),
            ("elasticloadbalancing:loadbalancer", vec![balancer.clone()]),
            ("elasticloadbalancing:loadbalancer/app", vec![]),
            ("elasticloadbalancing:listener", vec![listener]),
            ("elasticloadbalancing:targetgroup", vec![group]),
            ("elasticloadbalancing", arns(&kit, &own)),
            ("s3", vec![]),
        ] {
            assert_eq!(arns(&kit, &[("ResourceTypeFilters.1", kind)]), wanted, "{kind}");
        }
        let nodes = arns(
            &kit,
            &[("ResourceTypeFilters.1", "ec2:security-group"), ("TagFilters.1.Key", "kubernetes.io/cluster/landfall")],
        );
        assert_eq!(nodes, [format!("arn:aws:ec2:us-west-2:111122223333:security-group/{}", kit.seeded.security_groups["nodes"])]);
        assert_eq!(arns(&kit, &[("ResourceARNList.1", &balancer)]), [balancer]);
    }

    #[test]
    fn mistakes_are_refused() {
        let kit = Kit::instant();
        for parameters in [
            &[("ResourceTypeFilters.1", "elasticloadbalancing:loadbalancers")][..],
            &[("ResourceTypeFilters.1", "")],
            &[("ResourceARNList.1", "arn:aws:x"), ("TagFilters.1.Key", "a")],
            &[("TagFilters.1.Values.1", "a")],
            &[("PaginationToken", "mine")],
        ] {
            let error = kit.json("tagging", "GetResources", parameters).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException", "{parameters:?}");
        }
    }

    #[test]
    fn pages_keys_and_values() {
        let kit = Kit::instant();
        let everything = arns(&kit, &[("ResourcesPerPage", "100")]);
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let parameters = [("ResourcesPerPage", "4"), ("PaginationToken", token.as_str())];
            let answer = kit.json("tagging", "GetResources", &parameters).unwrap();
            seen.extend(
                answer["ResourceTagMappingList"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| row["ResourceARN"].as_str().unwrap().to_owned()),
            );
            token = answer["PaginationToken"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, everything);
        let keys = kit.json("tagging", "GetTagKeys", &[]).unwrap();
        assert!(keys["TagKeys"].as_array().unwrap().contains(&"kubernetes.io/role/elb".into()), "{keys}");
        let values = kit.json("tagging", "GetTagValues", &[("Key", "kubernetes.io/role/elb")]).unwrap();
        assert_eq!(values["TagValues"], serde_json::json!(["1"]));
    }
}
