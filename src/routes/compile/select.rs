//! Which Ingresses are ours, and in which order they claim hosts and paths.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use super::{Inputs, Settings};
use crate::routes::findings::{self, Finding, Findings, Kind, ObjectKey};

/// The annotation from before IngressClass.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Why an Ingress is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOurs {
    /// It names no class, and `--watch-ingress-without-class` is not set.
    NoClass,
    /// `spec.ingressClassName` names an IngressClass that does not exist.
    NoSuchClass(String),
    /// The IngressClass belongs to another controller.
    OtherController(String),
    /// The annotation names another class.
    OtherAnnotation(String),
}

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClass => f.write_str("it names no class, and --watch-ingress-without-class is not set"),
            Self::NoSuchClass(class) => write!(f, "there is no IngressClass {class:?}"),
            Self::OtherController(class) => write!(f, "IngressClass {class:?} belongs to another controller"),
            Self::OtherAnnotation(class) => write!(f, "its annotation {CLASS_ANNOTATION} names the class {class:?}"),
        }
    }
}

/// The first decisive one of: `spec.ingressClassName`, the annotation, `--watch-ingress-without-class`.
fn class_of(ingress: &Ingress, classes: &Classes<'_>, settings: &Settings) -> Result<(), NotOurs> {
    if let Some(name) = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref()) {
        let Some(class) = classes.get(name) else { return Err(NotOurs::NoSuchClass(name.to_owned())) };
        let by_name = settings.ingress_class_by_name && name == settings.ingress_class;
        let controller = class.spec.as_ref().and_then(|spec| spec.controller.as_deref());
        let ours = by_name || controller == Some(&settings.controller_class);
        return if ours { Ok(()) } else { Err(NotOurs::OtherController(name.to_owned())) };
    }
    match ingress.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLASS_ANNOTATION)) {
        Some(class) if *class == settings.ingress_class => Ok(()),
        Some(class) => Err(NotOurs::OtherAnnotation(class.clone())),
        None if settings.watch_ingress_without_class => Ok(()),
        None => Err(NotOurs::NoClass),
    }
}

type Classes<'a> = HashMap<&'a str, &'a IngressClass>;

fn by_name(classes: &[Arc<IngressClass>]) -> Classes<'_> {
    classes.iter().filter_map(|class| Some((class.metadata.name.as_deref()?, &**class))).collect()
}

/// Ours, older ones first, and of the same second those with the greater `namespace/name` first (ingress-nginx's order, which
/// decides conflicts); and the others.
pub(super) fn select<'a>(
    inputs: &Inputs<'a>,
    settings: &Settings,
    found: &mut Vec<Finding>,
) -> (Vec<&'a Ingress>, Vec<(ObjectKey, NotOurs)>) {
    let classes = by_name(inputs.classes);
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for ingress in inputs.ingresses {
        let Err(why) = class_of(ingress, &classes, settings) else {
            ours.push(&**ingress);
            continue;
        };
        let key = ObjectKey::of(&ingress.metadata);
        // An Ingress of somebody else's class is none of our business; one that names ours is.
        if let NotOurs::NoSuchClass(class) = &why
            && *class == settings.ingress_class
        {
            let mut findings = Findings::of(Kind::Ingress, key.clone());
            findings.error(
                findings::INGRESS_CLASS_MISSING,
                format!("{why}: create it with spec.controller {:?}", settings.controller_class),
            );
            found.extend(findings.into_inner());
        }
        foreign.push((key, why));
    }
    ours.sort_by_cached_key(|ingress| {
        let created = ingress.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, Reverse(ObjectKey::of(&ingress.metadata).to_string()))
    });
    foreign.sort_by(|(a, _), (b, _)| a.cmp(b));
    (ours, foreign)
}

/// The Secrets that a table is made from: those that our Ingresses name, and the default certificate's.
#[must_use]
pub fn referenced_secrets(ingresses: &[Arc<Ingress>], classes: &[Arc<IngressClass>], settings: &Settings) -> BTreeSet<ObjectKey> {
    let classes = by_name(classes);
    let ours = ingresses.iter().filter(|ingress| class_of(ingress, &classes, settings).is_ok());
    let named = ours.flat_map(|ingress| {
        let tls = ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
        let names = tls.filter_map(|entry| entry.secret_name.as_deref()).filter(|name| !name.is_empty());
        names.map(|name| ObjectKey::new(ingress.metadata.namespace.as_deref().unwrap_or_default(), name))
    });
    named.chain(settings.default_ssl_certificate.clone()).collect()
}
