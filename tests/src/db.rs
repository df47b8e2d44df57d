//! A database of its own for every test.
//!
//! A migrated template is made once per set of migrations, under a lock, and copied with `create database … template`,
//! which costs a few tens of milliseconds however many migrations there will be. Works with a process per test. The
//! cluster is a throw-away one: `BERTH_TEST_DATABASE_URL` names it, and `make test` sets that.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Key of the advisory lock under which the template is made.
const LOCK: i64 = 0x6265_7274_6801;

/// A database that goes when this is dropped.
pub struct TestDb {
    /// Its name.
    pub name: String,
    cluster: PgConnectOptions,
}

impl TestDb {
    /// A fresh, migrated database.
    ///
    /// # Panics
    /// When the cluster cannot be reached: nothing can be tested then.
    pub async fn new() -> Self {
        let cluster = cluster();
        let mut connection = connect(&cluster).await;
        let template = template(&mut connection, &cluster).await;
        let name = format!("berth_t_{}_{:08x}", std::process::id(), rand::random::<u32>());
        execute(&mut connection, format!("create database {name} template {template}")).await;
        Self { name, cluster }
    }

    /// The URL of this database, as the server's configuration wants it.
    #[must_use]
    pub fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// The URL of this database by way of a proxy.
    #[must_use]
    pub fn url_through(&self, proxy: std::net::SocketAddr) -> String {
        let user = self.cluster.get_username();
        format!("postgres://{user}@{proxy}/{}?sslmode=disable", self.name)
    }

    /// The socket that the cluster listens on.
    #[must_use]
    pub fn socket(&self) -> std::path::PathBuf {
        let directory = self.cluster.get_socket().expect("the test cluster is reached by its socket");
        directory.join(format!(".s.PGSQL.{}", self.cluster.get_port()))
    }

    /// A pool for looking at what is there.
    ///
    /// # Panics
    /// When the database cannot be reached.
    pub async fn pool(&self) -> PgPool {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(3).min_connections(0);
        pool.connect_with(self.options()).await.expect("the test database can be reached")
    }

    /// Another database with the same content: a backup, to be restored later.
    ///
    /// # Panics
    /// When it cannot be made. No server may be connected to this database meanwhile.
    pub async fn copy(&self) -> Self {
        let mut connection = connect(&self.cluster).await;
        let name = format!("{}_copy_{:04x}", self.name, rand::random::<u16>());
        execute(&mut connection, format!("create database {name} template {}", self.name)).await;
        Self { name, cluster: self.cluster.clone() }
    }

    fn options(&self) -> PgConnectOptions {
        self.cluster.clone().database(&self.name)
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (name, cluster) = (self.name.clone(), self.cluster.clone());
        // A thread and a runtime of its own: the test's runtime may be the one that is unwinding.
        let dropper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&cluster).await?;
                let sql = format!("drop database if exists {name} with (force)");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
                anyhow::Ok(())
            })
        });
        match dropper.join() {
            Ok(Ok(())) => {}
            Ok(Err(e)) => eprintln!("test database {} is left: {e:#}", self.name),
            Err(_) => eprintln!("test database {} is left: the thread that drops it panicked", self.name),
        }
    }
}

fn cluster() -> PgConnectOptions {
    let url = std::env::var("BERTH_TEST_DATABASE_URL").expect(
        "BERTH_TEST_DATABASE_URL names a throw-away Postgres cluster; `make test` starts one and sets it",
    );
    let options = PgConnectOptions::from_str(&url).expect("BERTH_TEST_DATABASE_URL is a Postgres URL");
    options.application_name("berth-tests").disable_statement_logging()
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    let mut last = None;
    for _ in 0..50 {
        match PgConnection::connect_with(options).await {
            Ok(connection) => return connection,
            // Many tests start at the same moment; Postgres says so when it has no slot left.
            Err(e) => last = Some(e),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the test cluster cannot be reached: {last:?}");
}

/// Name of the template for the migrations that this test binary was built with; makes it when it is not there.
async fn template(connection: &mut PgConnection, cluster: &PgConnectOptions) -> String {
    use sha2::Digest as _;
    let mut digest = sha2::Sha256::new();
    MIGRATIONS.iter().for_each(|migration| digest.update(&migration.checksum));
    let name: String = digest
        .finalize()
        .iter()
        .take(6)
        .fold("berth_template_".into(), |name, byte| format!("{name}{byte:02x}"));

    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut *connection).await.expect("lock");
    // The flag is set last, so a template that was left half made is not taken for a whole one.
    let ready: Option<bool> = sqlx::query_scalar("select datistemplate from pg_database where datname = $1")
        .bind(&name)
        .fetch_optional(&mut *connection)
        .await
        .expect("the catalogue can be read");
    if ready != Some(true) {
        execute(connection, format!("drop database if exists {name} with (force)")).await;
        execute(connection, format!("create database {name}")).await;
        let mut inside = connect(&cluster.clone().database(&name)).await;
        MIGRATIONS.run(&mut inside).await.expect("the migrations run");
        inside.close().await.expect("the connection closes");
        execute(connection, format!("alter database {name} is_template true")).await;
    }
    sqlx::query("select pg_advisory_unlock($1)").bind(LOCK).execute(&mut *connection).await.expect("unlock");
    name
}

async fn execute(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql.as_str()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}
