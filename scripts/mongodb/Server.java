import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import io.netty.channel.Channel;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.regex.PatternSyntaxException;

/** A server that speaks MongoDB's protocol, for tests: `java -cp … Server.java PORT`. */
public class Server {
    /** What it says it is: the library says 5.0 with the number of an older protocol, which the driver does not take. */
    record Version(List<Integer> getVersionArray, int getWireVersion) implements MongoVersion {}

    static class Backend extends MemoryBackend {
        @Override
        public Document handleCommand(Channel channel, String database, String command, Document query) {
            try {
                return super.handleCommand(channel, database, command, query);
            } catch (PatternSyntaxException error) {
                // With the code that MongoDB says; the library says none.
                throw new MongoServerError(51091, "Location51091", "Regular expression is invalid");
            }
        }
    }

    public static void main(String[] arguments) {
        Backend backend = new Backend();
        backend.version(new Version(List.of(5, 0, 0), 13));
        MongoServer server = new MongoServer(backend);
        server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
        System.out.println("up");
    }
}
