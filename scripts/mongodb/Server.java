import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import io.netty.channel.Channel;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.PatternSyntaxException;

/**
 * A server that speaks MongoDB's protocol, for tests: `java -cp … Server.java PORT SET_PORT`.
 *
 * On the first port is one that stands alone. On the second is one that says it is a replica set: its transactions can be undone, and are not kept
 * apart from one another, so that it does for tests with one client at a time.
 */
public class Server {
    /** What it says it is: the library says 5.0 with the number of an older protocol, which the driver does not take. */
    record Version(List<Integer> getVersionArray, int getWireVersion) implements MongoVersion {}

    /** What a transaction has to put back when it is undone. */
    record Before(String database, Map<String, List<Document>> collections) {}

    static class Backend extends MemoryBackend {
        /** Where a replica set is found; null for a server that stands alone. */
        private final String set;
        private final Map<String, Before> transactions = new HashMap<>();
        private Document failing;

        Backend(String set) {
            this.set = set;
        }

        @Override
        public Document handleCommand(Channel channel, String database, String command, Document query) {
            Document failure = failure(channel, command, query);
            if (failure != null && failure.containsKey("writeConcernError")) {
                Document done = super.handleCommand(channel, database, command, query);
                done.put("writeConcernError", failure.get("writeConcernError"));
                return done;
            }
            if (failure != null) {
                return failure;
            }
            if (set != null) {
                switch (command.toLowerCase()) {
                    case "hello", "ismaster" -> {
                        return hello(super.handleCommand(channel, database, "ismaster", query));
                    }
                    case "committransaction" -> {
                        return transactions.remove(key(query)) == null ? none() : ok();
                    }
                    case "aborttransaction" -> {
                        return undo(channel, transactions.remove(key(query)));
                    }
                    default -> {}
                }
                if (query.containsKey("autocommit")) {
                    if (Boolean.TRUE.equals(query.get("startTransaction"))) {
                        transactions.put(key(query), before(channel, database));
                    } else if (!transactions.containsKey(key(query))) {
                        return none();
                    }
                }
            }
            try {
                Document answer = super.handleCommand(channel, database, command, query);
                if (answer.containsKey("writeErrors")) {
                    endAfterError(channel, query);
                }
                return answer;
            } catch (PatternSyntaxException error) {
                // With the code that MongoDB says; the library says none.
                throw new MongoServerError(51091, "Location51091", "Regular expression is invalid");
            } catch (RuntimeException error) {
                endAfterError(channel, query);
                throw error;
            }
        }

        /** An error undoes the transaction. */
        private void endAfterError(Channel channel, Document query) {
            if (query.containsKey("autocommit")) {
                undo(channel, transactions.remove(key(query)));
            }
        }

        private Document hello(Document answer) {
            answer.put("isWritablePrimary", true);
            answer.put("setName", "pie");
            answer.put("setVersion", 1);
            answer.put("secondary", false);
            answer.put("hosts", List.of(set));
            answer.put("primary", set);
            answer.put("me", set);
            answer.put("logicalSessionTimeoutMinutes", 30);
            return answer;
        }

        /** `configureFailPoint: "failCommand"`, as MongoDB has it for tests. */
        private synchronized Document failure(Channel channel, String command, Document query) {
            if (command.equals("configureFailPoint")) {
                failing = query;
                return ok();
            }
            if (failing == null) {
                return null;
            }
            Document data = (Document) failing.get("data");
            if (!((List<?>) data.get("failCommands")).contains(command)) {
                return null;
            }
            Document mode = (Document) failing.get("mode");
            int left = ((Number) mode.get("times")).intValue();
            if (left <= 0) {
                return null;
            }
            mode.put("times", left - 1);
            if (Boolean.TRUE.equals(data.get("closeConnection"))) {
                channel.close();
            }
            if (data.containsKey("writeConcernError")) {
                return new Document("writeConcernError", data.get("writeConcernError"));
            }
            int code = ((Number) data.getOrDefault("errorCode", 8)).intValue();
            endAfterError(channel, query);
            return error(code, (List<?>) data.getOrDefault("errorLabels", List.of()));
        }

        private static Document error(int code, List<?> labels) {
            Document answer = new Document("ok", 0.0);
            answer.put("errmsg", "on purpose, with a value: tiger");
            answer.put("code", code);
            answer.put("codeName", "Location" + code);
            answer.put("errorLabels", labels);
            return answer;
        }

        private static Document none() {
            return error(251, List.of("TransientTransactionError"));
        }

        private static Document ok() {
            return new Document("ok", 1.0);
        }

        private static String key(Document query) {
            return query.get("lsid") + " " + query.get("txnNumber");
        }

        private Before before(Channel channel, String database) {
            Map<String, List<Document>> collections = new LinkedHashMap<>();
            for (String name : names(channel, database)) {
                Document find = new Document("find", name).append("filter", new Document()).append("batchSize", Integer.MAX_VALUE);
                List<Document> copies = new ArrayList<>();
                for (Document document : batch(super.handleCommand(channel, database, "find", find))) {
                    copies.add(document.cloneDeeply());
                }
                collections.put(name, copies);
            }
            return new Before(database, collections);
        }

        private Document undo(Channel channel, Before before) {
            if (before == null) {
                return none();
            }
            for (String name : names(channel, before.database())) {
                if (name.equals("pie_counters")) {
                    // Ids are counted outside of transactions.
                    continue;
                }
                Document all = new Document("q", new Document()).append("limit", 0);
                Document delete = new Document("delete", name).append("deletes", List.of(all));
                super.handleCommand(channel, before.database(), "delete", delete);
                List<Document> documents = before.collections().getOrDefault(name, List.of());
                if (!documents.isEmpty()) {
                    Document insert = new Document("insert", name).append("documents", documents);
                    super.handleCommand(channel, before.database(), "insert", insert);
                }
            }
            return ok();
        }

        private List<String> names(Channel channel, String database) {
            Document answer = super.handleCommand(channel, database, "listCollections", new Document("listCollections", 1));
            List<String> names = new ArrayList<>();
            for (Document collection : batch(answer)) {
                names.add((String) collection.get("name"));
            }
            return names;
        }

        private static List<Document> batch(Document answer) {
            List<Document> documents = new ArrayList<>();
            for (Object document : (Iterable<?>) ((Document) answer.get("cursor")).get("firstBatch")) {
                documents.add((Document) document);
            }
            return documents;
        }
    }

    static void start(String port, boolean set) {
        Backend backend = new Backend(set ? "127.0.0.1:" + port : null);
        backend.version(new Version(List.of(5, 0, 0), 13));
        new MongoServer(backend).bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(port)));
    }

    public static void main(String[] arguments) {
        start(arguments[1], true);
        start(arguments[0], false);
        System.out.println("up");
    }
}
