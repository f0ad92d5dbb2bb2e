# Database servers for tests, on private ports in temporary folders: sourced by scripts/test, which has set $folder, `started`, `say` and `need`.
# Each function exports the URL under which the tests find its server. None of them makes anything durable: tests need no power cuts.

# Runs a server as the user that it insists on, when this is root.
as_user() {
  local user=$1
  shift
  if [ "$(id -u)" = 0 ]; then exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"; else exec "$@"; fi
}

own() {
  mkdir -p "$2"
  if [ "$(id -u)" = 0 ]; then chmod 711 "$folder" && chown "$1:" "$2"; fi
}

# Below 32768, from where on the kernel gives ports to clients, and apart from those of tests/src/redis_server.rs.
free_port() {
  local port
  for port in $(shuf -i "$1" -n 50); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

start_postgres() {
  local bin data=$folder/postgres port
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  if [ -z "$bin" ] || [ ! -x "$bin/initdb" ]; then
    need initdb postgresql /usr/lib/postgresql
    bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  fi
  port=$(free_port 28000-28999)
  own postgres "$data"
  (as_user postgres "$bin/initdb" -D "$data" -U pie -A trust --no-sync -E UTF8 --locale C.UTF-8) >"$folder/postgres-init.log" 2>&1 ||
    { cat "$folder/postgres-init.log" >&2; return 1; }
  (as_user postgres "$bin/postgres" -D "$data" -p "$port" -k "$data" -c listen_addresses=127.0.0.1 -c fsync=off \
    -c synchronous_commit=off -c full_page_writes=off -c max_connections=400 -c deadlock_timeout=50ms -c shared_buffers=64MB) >"$folder/postgres.log" 2>&1 &
  started+=("$!")
  for _ in $(seq 300); do
    if "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U pie; then
      export PIE_TEST_POSTGRES_URL="postgres://pie@127.0.0.1:$port/postgres"
      "$bin/postgres" --version
      return
    fi
    sleep 0.1
  done
  echo "PostgreSQL did not start:" >&2
  cat "$folder/postgres.log" >&2
  return 1
}

start_mariadb() {
  local data=$folder/mariadb port
  need mariadbd mariadb-server /usr/sbin
  port=$(free_port 29000-29999)
  own mysql "$data"
  (as_user mysql mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db) \
    >"$folder/mariadb-init.log" 2>&1 || { cat "$folder/mariadb-init.log" >&2; return 1; }
  (as_user mysql mariadbd --no-defaults --datadir="$data" --port="$port" --bind-address=127.0.0.1 --socket="$data/s" \
    --pid-file="$data/pid" --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=64M --max-connections=400 --max-allowed-packet=64M --skip-log-bin) >"$folder/mariadb.log" 2>&1 &
  started+=("$!")
  for _ in $(seq 300); do
    if mariadb-admin --no-defaults -h 127.0.0.1 -P "$port" -u root ping >/dev/null 2>&1; then
      export PIE_TEST_MYSQL_URL="mysql://root@127.0.0.1:$port"
      mariadbd --version
      return
    fi
    sleep 0.1
  done
  echo "MariaDB did not start:" >&2
  cat "$folder/mariadb.log" >&2
  return 1
}

# Waits until a port takes connections, while the process is there.
until_open() {
  for _ in $(seq 600); do
    kill -0 "$2" 2>/dev/null || return 1
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  return 1
}

# Something that speaks MongoDB's protocol: the server of MONGODB_URL (without a database in it), else a mongod or a ferretdb on the PATH, else one
# that keeps everything in memory, fetched from Maven Central. (PIE_TEST_MONGODB_TRANSACTIONS=1 says that MONGODB_URL is a replica set.)
start_mongodb() {
  local data=$folder/mongodb port set_port
  mkdir -p "$data"
  if [ -n "${MONGODB_URL:-}" ]; then
    export PIE_TEST_MONGODB_URL=$MONGODB_URL
    echo "the server of MONGODB_URL"
    return
  fi
  port=$(free_port 30000-30999)
  if command -v mongod >/dev/null; then
    mongod --version | head -n 1
    mongod --dbpath "$data" --port "$port" --bind_ip 127.0.0.1 --nounixsocket >"$folder/mongodb.log" 2>&1 &
  elif command -v ferretdb >/dev/null; then
    ferretdb --version 2>/dev/null | head -n 1
    ferretdb --handler=sqlite --sqlite-url="file:$data/" --state-dir="$data" --listen-addr="127.0.0.1:$port" --debug-addr=- --telemetry=disable \
      >"$folder/mongodb.log" 2>&1 &
  else
    need javac default-jdk-headless
    need mvn maven
    local fetched
    for _ in 1 2 3; do
      if fetched=$(mvn -q -B -f scripts/mongodb/pom.xml dependency:build-classpath -Dmdep.outputFile="$data/classpath" 2>&1); then break; fi
    done
    [ -s "$data/classpath" ] || { echo "the server in memory could not be fetched: $fetched" >&2; return 1; }
    sed -n 's/.*<artifactId>\(mongo-java-server\)-memory.*/\1/p; s/.*<version>\(1\.[0-9.]*\)<.*/\1/p' scripts/mongodb/pom.xml | tr '\n' ' '
    echo
    set_port=$(free_port 31000-31999)
    java -Xmx2g -cp "$(cat "$data/classpath")" scripts/mongodb/Server.java "$port" "$set_port" >"$folder/mongodb.log" 2>&1 &
    # What has transactions, of a kind: see Server.java.
    export PIE_TEST_MONGODB_SET_URL="mongodb://127.0.0.1:$set_port/?replicaSet=pie"
  fi
  started+=("$!")
  until_open "$port" "$!" || { echo "no MongoDB server started:" >&2; cat "$folder/mongodb.log" >&2; return 1; }
  export PIE_TEST_MONGODB_URL="mongodb://127.0.0.1:$port"
}

# Sets $VALKEY to a valkey-server: one on the PATH, else the one of Debian, or of its backports, unpacked into target/ without being installed.
find_valkey() {
  local into=$PWD/target/pie-valkey lists=$folder/valkey-apt key=/usr/share/keyrings/debian-archive-keyring.gpg
  VALKEY=$(command -v valkey-server || true)
  if [ -z "$VALKEY" ] && [ ! -x "$into/usr/bin/valkey-server" ] && command -v apt-get >/dev/null; then
    mkdir -p "$lists/lists/partial" "$into"
    (
      cd "$lists"
      . /etc/os-release
      local apt=(apt-get -qq -o APT::Sandbox::User=root) site
      "${apt[@]}" download valkey-server valkey-tools 2>/dev/null && exit
      site=$("${apt[@]}" indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
      echo "deb [signed-by=$key] $site $VERSION_CODENAME-backports main" >backports.list
      apt+=(-o "Dir::Etc::sourcelist=$lists/backports.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$lists/lists" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
      "${apt[@]}" update && "${apt[@]}" download valkey-server valkey-tools
    ) >"$folder/valkey.log" 2>&1 || cat "$folder/valkey.log" >&2
    for package in "$lists"/*.deb; do
      [ -e "$package" ] && dpkg-deb -x "$package" "$into"
    done
  fi
  [ -n "$VALKEY" ] || VALKEY=$into/usr/bin/valkey-server
  "$VALKEY" --version
}
