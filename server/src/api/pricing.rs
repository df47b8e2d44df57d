//! `/pricing`. What Berth does not sell is there with a price of nothing, because clients expect the keys.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::catalog::Catalog;
use crate::app::App;
use crate::db::plans::{self, Plan};
use crate::error::Result;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

/// An amount of money, as a decimal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Amount {
    net: String,
    gross: String,
}

impl Amount {
    fn nothing() -> Self {
        Self { net: "0.0000000000".into(), gross: "0.0000000000".into() }
    }
}

/// What a server type costs in a location.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PriceAt {
    location: String,
    price_hourly: Amount,
    price_monthly: Amount,
    included_traffic: i64,
    price_per_tb_traffic: Amount,
}

/// The prices of a plan: the same in every location.
pub(super) fn prices(plan: &Plan, catalog: &Catalog) -> Vec<PriceAt> {
    let Some(price) = catalog.prices.iter().find(|p| p.plan_id == plan.id) else {
        return Vec::new(); // made between two queries of this request
    };
    let amount = |net: &String, gross: &String| Amount { net: net.clone(), gross: gross.clone() };
    let at = |l: &crate::db::locations::Location| PriceAt {
        location: l.name.clone(),
        price_hourly: amount(&price.hourly_net, &price.hourly_gross),
        price_monthly: amount(&price.monthly_net, &price.monthly_gross),
        included_traffic: plan.included_traffic,
        price_per_tb_traffic: Amount::nothing(),
    };
    catalog.locations.iter().map(at).collect()
}

#[derive(Serialize, ToSchema)]
struct PricingResponse {
    pricing: Pricing,
}

/// All prices.
#[derive(Serialize, ToSchema)]
struct Pricing {
    currency: String,
    vat_rate: String,
    server_types: Vec<TypePrices>,
    image: PerGigabyte,
    volume: PerGigabyte,
    server_backup: Backup,
    floating_ip: FloatingIp,
    floating_ips: Vec<FloatingIp>,
    primary_ips: Vec<FloatingIp>,
    load_balancer_types: Vec<TypePrices>,
}

/// What a server type costs.
#[derive(Serialize, ToSchema)]
struct TypePrices {
    id: i64,
    name: String,
    prices: Vec<PriceAt>,
}

/// Price of storage.
#[derive(Serialize, ToSchema)]
struct PerGigabyte {
    price_per_gb_month: Amount,
}

/// Price of backups, in per cent of the server's.
#[derive(Serialize, ToSchema)]
struct Backup {
    percentage: String,
}

/// Price of an address.
#[derive(Serialize, ToSchema)]
struct FloatingIp {
    price_monthly: Amount,
}

/// Shows all prices.
#[utoipa::path(get, path = "/pricing", tag = "pricing", security(("token" = [])),
    responses((status = 200, body = PricingResponse), Problems))]
async fn get(State(app): State<App>) -> Result<Json<PricingResponse>> {
    let catalog = Catalog::load(&app).await?;
    let plans::Terms { currency, vat_rate } = plans::terms(&app.db).await?;
    let server_types = catalog.offered().map(|plan| TypePrices {
        id: plan.id.0,
        name: plan.name.clone(),
        prices: prices(plan, &catalog),
    });
    let nothing = || PerGigabyte { price_per_gb_month: Amount::nothing() };
    let pricing = Pricing {
        currency,
        vat_rate,
        server_types: server_types.collect(),
        image: nothing(),
        volume: nothing(),
        server_backup: Backup { percentage: "0.0000000000".into() },
        floating_ip: FloatingIp { price_monthly: Amount::nothing() },
        floating_ips: Vec::new(),
        primary_ips: Vec::new(),
        load_balancer_types: Vec::new(),
    };
    Ok(Json(PricingResponse { pricing }))
}
