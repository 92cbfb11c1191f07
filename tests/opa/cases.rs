//! Calls, and what the policies must say about them.

use std::time::{Duration, SystemTime};

use veilwarden::authn::{Identity, User};
use veilwarden::policy::input::sample::Call;

/// A call, the decision, and a part of the reason.
pub struct Case {
    pub call: Call,
    pub allowed: bool,
    pub reason: &'static str,
}

fn allowed(call: Call) -> Case {
    Case { call, allowed: true, reason: "allowed by OPA policy" }
}

fn denied(call: Call, reason: &'static str) -> Case {
    Case { call, allowed: false, reason }
}

/// A call by the workload `NAMESPACE/SERVICE_ACCOUNT` to `HOST/PATH`, at noon.
fn pod(workload: &str, method: &str, url: &str) -> Call {
    let mut call = to(Call::kubernetes(), method, url);
    let Identity::Kubernetes(identity) = &mut call.identity else { unreachable!("a workload") };
    let (namespace, service_account) = workload.split_once('/').expect("a namespace and a name");
    identity.namespace = namespace.to_owned();
    identity.service_account = service_account.to_owned();
    identity.username = format!("system:serviceaccount:{namespace}:{service_account}");
    call
}

fn user(org: &str, email: &str, method: &str, url: &str) -> Call {
    let identity = User { id: "u1".to_owned(), email: email.to_owned(), org: org.to_owned() };
    to(Call { identity: Identity::Static(identity), ..Call::user() }, method, url)
}

fn to(call: Call, method: &str, url: &str) -> Call {
    let (host, path) = url.split_once('/').expect("a host and a path");
    Call {
        method: method.to_owned(),
        upstream_host: host.to_owned(),
        path: format!("/{path}"),
        timestamp: at_hour(12),
        ..call
    }
}

fn at_hour(hour: u64) -> SystemTime {
    // 2026-01-01, a Thursday.
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + hour * 3600)
}

pub fn allow_all() -> Vec<Case> {
    vec![allowed(pod("any/any", "DELETE", "api.example.com/")), allowed(user("", "", "GET", "api.example.com/v1"))]
}

pub fn example() -> Vec<Case> {
    let agent = |org: &str, agent_id: &str, method: &str, url: &str| Call {
        agent_id: agent_id.to_owned(),
        ..user(org, "a@example.com", method, url)
    };
    vec![
        // Engineers read.
        allowed(user("engineering", "a@example.com", "GET", "api.stripe.com/v1/charges")),
        allowed(user("engineering", "a@example.com", "HEAD", "api.github.com/user")),
        denied(
            user("engineering", "a@example.com", "POST", "api.stripe.com/v1/charges"),
            "no rule lets u1 POST at api.stripe.com",
        ),
        denied(user("engineering", "a@example.com", "get", "api.stripe.com/v1/charges"), "no rule lets"),
        denied(user("sales", "a@example.com", "GET", "api.github.com/user"), "no rule lets u1 GET"),
        // The agent of an engineer writes to GitHub; the claim alone is nothing (W-2).
        allowed(agent("engineering", "ci-agent", "POST", "api.github.com/repos")),
        denied(agent("engineering", "other", "POST", "api.github.com/repos"), "no rule lets"),
        denied(agent("sales", "ci-agent", "POST", "api.github.com/repos"), "no rule lets"),
        denied(agent("engineering", "ci-agent", "POST", "api.stripe.com/v1/charges"), "no rule lets"),
        // Administrators, by the whole mail domain.
        allowed(user("", "root@admin.example.com", "DELETE", "api.stripe.com/v1/charges/1")),
        denied(user("", "root@admin.example.com.evil.net", "GET", "api.github.com/user"), "no rule lets"),
        denied(user("", "root@evil-admin.example.com", "GET", "api.github.com/user"), "no rule lets"),
        denied(user("", "x@admin.example.com@evil.net", "GET", "api.github.com/user"), "no rule lets"),
        // The platform team.
        allowed(user("platform", "p@example.com", "PUT", "api.github.com/repos/a/b")),
        denied(user("platform", "p@example.com", "DELETE", "api.github.com/repos/a/b"), "no rule lets"),
        denied(user("platform", "p@example.com", "GET", "api.stripe.com/v1/balance"), "no rule lets"),
        // Workloads have empty user names and get nothing.
        denied(pod("production/api", "GET", "api.github.com/user"), "no rule lets this caller GET"),
    ]
}

pub fn kubernetes() -> Vec<Case> {
    let nightly = |hour: u64| Call {
        timestamp: at_hour(hour),
        ..pod("batch/nightly-report", "GET", "reports.api.example.com/v1/all")
    };
    let with_live_key = |call: Call| Call { secret_id: "STRIPE_LIVE_KEY".to_owned(), ..call };
    vec![
        // 1. A namespace.
        allowed(pod("production/api", "GET", "api.stripe.com/v1/balance")),
        denied(
            pod("production-eu/api", "GET", "api.stripe.com/v1/balance"),
            "no rule lets production-eu/api GET /v1/balance",
        ),
        // 2. A workload; its namesake elsewhere is another one (W-23).
        allowed(pod("ci/github-actions", "POST", "api.github.com/repos/a/b/releases")),
        denied(pod("attacker/github-actions", "POST", "api.github.com/repos/a/b"), "no rule lets"),
        // 3. A method.
        allowed(pod("monitoring/prober", "HEAD", "api.github.com/")),
        denied(pod("monitoring/prober", "POST", "api.github.com/"), "no rule lets"),
        // 4. A path.
        allowed(pod("support/helpdesk", "GET", "api.stripe.com/v1/customers/cus_1")),
        denied(pod("support/helpdesk", "GET", "api.stripe.com/v1/customers"), "no rule lets"),
        denied(pod("support/helpdesk", "GET", "api.stripe.com/v1/customers/"), "no rule lets"),
        denied(pod("support/helpdesk", "GET", "api.stripe.com/v1/customers/cus_1/sources"), "no rule lets"),
        // 5. Several namespaces.
        allowed(pod("qa/runner", "DELETE", "sandbox.api.example.com/v1/all")),
        denied(pod("production/api", "GET", "sandbox.api.example.com/v1/all"), "no rule lets"),
        // 6. A time.
        allowed(nightly(1)),
        allowed(nightly(4)),
        denied(nightly(5), "no rule lets"),
        denied(nightly(0), "no rule lets"),
        // 7. All together.
        allowed(pod("production/billing-service", "POST", "api.stripe.com/v1/charges")),
        allowed(pod("production/billing-service", "POST", "api.stripe.com/v1/charges/ch_1")),
        denied(pod("staging/billing-service", "POST", "api.stripe.com/v1/charges"), "no rule lets"),
        denied(pod("production/billing-service", "POST", "api.stripe.com/v1/chargesx"), "no rule lets"),
        denied(pod("production/billing-service", "POST", "api.stripe.com/v1/refunds"), "no rule lets"),
        // 8. Denials hold against every grant (W-20).
        denied(
            pod("production/billing-service", "DELETE", "api.stripe.com/v1/charges/1"),
            "nothing is deleted from production",
        ),
        denied(
            with_live_key(pod("ci/github-actions", "GET", "api.github.com/user")),
            "the live key is for production only",
        ),
        allowed(with_live_key(pod("production/api", "GET", "api.stripe.com/v1/balance"))),
        // 9. The reason: what was refused and by what; both denials at once; callers that are no workloads.
        denied(
            with_live_key(pod("production/api", "DELETE", "api.stripe.com/v1/x")),
            "nothing is deleted from production",
        ),
        denied(
            user("engineering", "a@example.com", "GET", "api.stripe.com/v1/balance"),
            "this policy is for workloads",
        ),
        // 10. Tenants, by whole segments (W-24).
        allowed(pod("tenant-acme/app", "POST", "tenants.api.example.com/tenants/acme/orders")),
        allowed(pod("tenant-acme/app", "GET", "tenants.api.example.com/tenants/acme")),
        denied(pod("tenant-acme/app", "GET", "tenants.api.example.com/tenants/other/acme"), "no rule lets"),
        denied(pod("tenant-acme/app", "GET", "tenants.api.example.com/tenants/acme2"), "no rule lets"),
        denied(pod("tenant-acme/app", "GET", "tenants.api.example.com/v1/tenants/acme"), "no rule lets"),
        denied(pod("tenant-acme/app", "GET", "tenants.api.example.com/tenants/acme%2Forders"), "no rule lets"),
        denied(pod("acme/app", "GET", "tenants.api.example.com/tenants/acme/orders"), "no rule lets"),
        denied(pod("tenant-acme/app", "GET", "tenants.api.example.com/tenants"), "no rule lets"),
    ]
}

pub fn benchmark() -> Vec<Case> {
    vec![
        allowed(pod("team-00/api", "GET", "api.github.com/v1/items")),
        denied(pod("team-00/api", "POST", "api.github.com/v1/items"), "no grant fits"),
        denied(pod("team-00/api", "GET", "api.stripe.com/v1/items"), "no grant fits"),
        denied(pod("team-00/api", "DELETE", "api.github.com/v1/items"), "deletion is for the platform team"),
        denied(pod("team-99/api", "GET", "api.github.com/v1/items"), "no grant fits"),
        denied(pod("monitoring/prober", "GET", "paste.example.com/x"), "no grant fits"),
        allowed(pod("monitoring/prober", "GET", "api.github.com/x")),
        allowed(pod("ci/github-actions", "POST", "api.github.com/repos/a/b/c")),
        denied(pod("ci/github-actions", "POST", "api.github.com/user"), "no grant fits"),
    ]
}

/// Every call of the tables, for policies of which no table says what they decide.
pub fn all_calls() -> Vec<Call> {
    let tables = [allow_all(), example(), kubernetes(), benchmark()];
    let with_query = Call { query: "a=1&b=x+y&a=%C3%A9".to_owned(), ..Call::kubernetes() };
    tables.into_iter().flatten().map(|case| case.call).chain([with_query, Call::user()]).collect()
}
