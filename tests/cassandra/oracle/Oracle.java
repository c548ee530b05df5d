import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.apache.cassandra.config.DatabaseDescriptor;
import org.apache.cassandra.cql3.CQLFragmentParser;
import org.apache.cassandra.cql3.CqlParser;
import org.apache.cassandra.cql3.functions.FunctionName;

/**
 * Says what Cassandra's own parser makes of texts.
 *
 * <p>On stdin: the length of a text (4 bytes), the text. On stdout: the length of the answer (4 bytes), the answer: whether
 * the text is accepted (1 byte); whether it is a batch (1 byte); the number of statements; for each one its action, and
 * the number of its objects; for each object its kind, keyspace and name. Numbers have 4 bytes, and so has the length
 * of each string; a string that is not there has the length -1.
 *
 * <p>Names are resolved as the statements' own {@code prepare} methods do it, but for the keyspace of the connection.
 */
public final class Oracle
{
    public static void main(String[] args) throws Exception
    {
        DataOutputStream out = new DataOutputStream(new FileOutputStream(FileDescriptor.out));
        System.setOut(System.err);
        DatabaseDescriptor.clientInitialization(false);
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        while (true)
        {
            byte[] text;
            try
            {
                text = new byte[in.readInt()];
            }
            catch (EOFException e)
            {
                return;
            }
            in.readFully(text);
            byte[] answer = answer(text);
            ByteBuffer framed = ByteBuffer.allocate(4 + answer.length).putInt(answer.length).put(answer);
            out.write(framed.array());
            if (in.available() == 0)
                out.flush();
        }
    }

    private static byte[] answer(byte[] text) throws IOException
    {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        Object raw;
        List<Statement> statements = new ArrayList<>();
        try
        {
            // As the server decodes a text: what is not UTF-8 is refused.
            String decoded = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(text)).toString();
            raw = CQLFragmentParser.parseAnyUnhandled(CqlParser::query, decoded);
            if (name(raw).equals("BatchStatement$Parsed"))
                for (Object one : (List<?>) get(raw, "parsedStatements"))
                    statements.add(new Statement(one));
            else
                statements.add(new Statement(raw));
        }
        catch (CharacterCodingException | StackOverflowError e)
        {
            return new byte[]{ 0 };
        }
        catch (Unknown e)
        {
            throw e;
        }
        catch (Exception e)
        {
            return new byte[]{ 0 };
        }
        out.writeByte(1);
        out.writeByte(name(raw).equals("BatchStatement$Parsed") ? 1 : 0);
        out.writeInt(statements.size());
        for (Statement statement : statements)
        {
            string(out, statement.action);
            out.writeInt(statement.objects.size());
            for (List<String> object : statement.objects)
                for (String part : object)
                    string(out, part);
        }
        return bytes.toByteArray();
    }

    private static void string(DataOutputStream out, String text) throws IOException
    {
        byte[] bytes = text == null ? new byte[0] : text.getBytes(StandardCharsets.UTF_8);
        out.writeInt(text == null ? -1 : bytes.length);
        out.write(bytes);
    }

    /** What this program does not know of: a mistake in it, and no answer. */
    private static final class Unknown extends RuntimeException
    {
        Unknown(String what)
        {
            super(what);
        }
    }

    private static final class Statement
    {
        final String action;
        final Set<List<String>> objects = new LinkedHashSet<>();

        /** The keyspace in which names without one are. */
        String home;

        /** The function that the statement is about. */
        Object main;

        Statement(Object raw) throws Exception
        {
            switch (name(raw))
            {
                case "SelectStatement$RawStatement":
                    action = "select";
                    main("table", get(raw, "qualifiedName"));
                    break;
                case "UpdateStatement$ParsedInsert":
                case "UpdateStatement$ParsedInsertJson":
                    action = "insert";
                    main("table", get(raw, "qualifiedName"));
                    break;
                case "UpdateStatement$ParsedUpdate":
                    action = "update";
                    main("table", get(raw, "qualifiedName"));
                    break;
                case "DeleteStatement$Parsed":
                    action = "delete";
                    main("table", get(raw, "qualifiedName"));
                    break;
                case "TruncateStatement":
                    action = "truncate-table";
                    main("table", get(raw, "qualifiedName"));
                    break;
                case "UseStatement":
                    action = "use";
                    add("keyspace", null, text(raw, "keyspace"));
                    break;
                case "CreateKeyspaceStatement$Raw":
                    action = "create-keyspace";
                    add("keyspace", null, text(raw, "keyspaceName"));
                    break;
                case "AlterKeyspaceStatement$Raw":
                    action = "alter-keyspace";
                    add("keyspace", null, text(raw, "keyspaceName"));
                    break;
                case "DropKeyspaceStatement$Raw":
                    action = "drop-keyspace";
                    add("keyspace", null, text(raw, "keyspaceName"));
                    break;
                case "CreateTableStatement$Raw":
                    action = "create-table";
                    main("table", get(raw, "name"));
                    break;
                case "AlterTableStatement$Raw":
                    action = "alter-table";
                    main("table", get(raw, "name"));
                    break;
                case "DropTableStatement$Raw":
                    action = "drop-table";
                    main("table", get(raw, "name"));
                    break;
                case "CreateIndexStatement$Raw":
                    action = "create-index";
                    main("table", get(raw, "tableName"));
                    if (text(get(raw, "indexName"), "name") != null)
                        add("index", home, text(get(raw, "indexName"), "name"));
                    break;
                case "DropIndexStatement$Raw":
                    action = "drop-index";
                    main("index", get(raw, "name"));
                    break;
                case "CreateViewStatement$Raw":
                {
                    action = "create-materialized-view";
                    main("view", get(raw, "viewName"));
                    Object table = get(raw, "tableName");
                    String keyspace = text(table, "keyspace");
                    add("table", keyspace == null ? home : keyspace, text(table, "name"));
                    break;
                }
                case "AlterViewStatement$Raw":
                    action = "alter-materialized-view";
                    main("view", get(raw, "name"));
                    break;
                case "DropViewStatement$Raw":
                    action = "drop-materialized-view";
                    main("view", get(raw, "name"));
                    break;
                case "CreateTypeStatement$Raw":
                    action = "create-type";
                    type(get(raw, "name"));
                    break;
                case "AlterTypeStatement$Raw":
                    action = "alter-type";
                    type(get(raw, "name"));
                    break;
                case "DropTypeStatement$Raw":
                    action = "drop-type";
                    type(get(raw, "name"));
                    break;
                case "CreateFunctionStatement$Raw":
                    action = "create-function";
                    function("function", get(raw, "name"));
                    break;
                case "DropFunctionStatement$Raw":
                    action = "drop-function";
                    function("function", get(raw, "name"));
                    break;
                case "CreateAggregateStatement$Raw":
                    action = "create-aggregate";
                    function("aggregate", get(raw, "aggregateName"));
                    add("function", home, text(raw, "stateFunctionName"));
                    if (text(raw, "finalFunctionName") != null)
                        add("function", home, text(raw, "finalFunctionName"));
                    break;
                case "DropAggregateStatement$Raw":
                    action = "drop-aggregate";
                    function("aggregate", get(raw, "name"));
                    break;
                case "CreateTriggerStatement$Raw":
                    action = "create-trigger";
                    main("table", get(raw, "tableName"));
                    add("trigger", home, text(raw, "triggerName"));
                    break;
                case "DropTriggerStatement$Raw":
                    action = "drop-trigger";
                    main("table", get(raw, "tableName"));
                    add("trigger", home, text(raw, "triggerName"));
                    break;
                case "CreateRoleStatement":
                    action = "create-role";
                    role(get(raw, "role"));
                    break;
                case "AlterRoleStatement":
                    action = "alter-role";
                    role(get(raw, "role"));
                    break;
                case "DropRoleStatement":
                    action = "drop-role";
                    role(get(raw, "role"));
                    break;
                case "ListUsersStatement":
                    action = "list-users";
                    add("all-roles", null, null);
                    break;
                case "ListRolesStatement":
                    action = "list-roles";
                    role(get(raw, "grantee"));
                    break;
                case "GrantRoleStatement":
                    action = "grant-role";
                    role(get(raw, "role"));
                    role(get(raw, "grantee"));
                    break;
                case "RevokeRoleStatement":
                    action = "revoke-role";
                    role(get(raw, "role"));
                    role(get(raw, "grantee"));
                    break;
                case "GrantPermissionsStatement":
                    action = "grant-permission";
                    resource(get(raw, "resource"));
                    role(get(raw, "grantee"));
                    break;
                case "RevokePermissionsStatement":
                    action = "revoke-permission";
                    resource(get(raw, "resource"));
                    role(get(raw, "grantee"));
                    break;
                case "ListPermissionsStatement":
                    action = "list-permissions";
                    if (get(raw, "resource") != null)
                        resource(get(raw, "resource"));
                    role(get(raw, "grantee"));
                    break;
                case "AddIdentityStatement":
                    action = "add-identity";
                    add("identity", null, text(raw, "identity"));
                    add("role", null, text(raw, "role"));
                    break;
                case "DropIdentityStatement":
                    action = "drop-identity";
                    add("identity", null, text(raw, "identity"));
                    break;
                default:
                    if (!instance(raw, "DescribeStatement"))
                        throw new Unknown(raw.getClass().getName());
                    action = "describe";
                    describe(raw);
            }
            walk(raw, new IdentityHashMap<>());
        }

        private void add(String kind, String keyspace, String name)
        {
            objects.add(Arrays.asList(kind, keyspace, name));
        }

        private void main(String kind, Object qualified) throws Exception
        {
            home = text(qualified, "keyspace");
            add(kind, home, text(qualified, "name"));
        }

        private void type(Object name) throws Exception
        {
            home = text(name, "ksName");
            add("type", home, get(name, "utName").toString());
        }

        private void function(String kind, Object name) throws Exception
        {
            main = name;
            home = text(name, "keyspace");
            add(kind, home, text(name, "name"));
        }

        private void role(Object resource) throws Exception
        {
            String name = resource == null ? null : text(resource, "name");
            add(name == null ? "all-roles" : "role", null, name);
        }

        private void resource(Object resource) throws Exception
        {
            String level = get(resource, "level").toString();
            switch (name(resource) + "." + level)
            {
                case "DataResource.ROOT":
                    add("all-keyspaces", null, null);
                    break;
                case "DataResource.KEYSPACE":
                    add("keyspace", null, text(resource, "keyspace"));
                    break;
                case "DataResource.ALL_TABLES":
                    add("all-tables", text(resource, "keyspace"), null);
                    break;
                case "DataResource.TABLE":
                    add("table", text(resource, "keyspace"), text(resource, "table"));
                    break;
                case "RoleResource.ROOT":
                    add("all-roles", null, null);
                    break;
                case "RoleResource.ROLE":
                    add("role", null, text(resource, "name"));
                    break;
                case "FunctionResource.ROOT":
                    add("all-functions", null, null);
                    break;
                case "FunctionResource.KEYSPACE":
                    add("all-functions", text(resource, "keyspace"), null);
                    break;
                case "FunctionResource.FUNCTION":
                    add("function", text(resource, "keyspace"), text(resource, "name"));
                    break;
                case "JMXResource.ROOT":
                    add("all-m-beans", null, null);
                    break;
                case "JMXResource.MBEAN":
                    add("m-bean", null, null);
                    break;
                default:
                    throw new Unknown(resource.getClass() + level);
            }
        }

        /** Which kind of element it is shows only in what the statement would do: it is not told. */
        private void describe(Object raw) throws Exception
        {
            if (raw.getClass().isAnonymousClass() && has(raw, "val$name"))
            {
                home = text(raw, "val$keyspace");
                add("any", home, text(raw, "val$name"));
                return;
            }
            if (!instance(raw, "Element"))
            {
                add("all-keyspaces", null, null);
                return;
            }
            String keyspace = text(raw, "keyspace");
            String name = text(raw, "name");
            if (name == null)
                add("keyspace", null, keyspace);
            else
                add("element", keyspace, name);
            home = keyspace;
        }

        /** Finds the functions, types and indexes that are named somewhere inside a statement. */
        private void walk(Object object, Map<Object, Object> seen) throws Exception
        {
            if (object == null || object instanceof String || object instanceof Enum || seen.put(object, object) != null)
                return;
            if (object instanceof Iterable)
            {
                for (Object one : (Iterable<?>) object)
                    walk(one, seen);
                return;
            }
            if (object instanceof Map)
            {
                for (Map.Entry<?, ?> entry : ((Map<?, ?>) object).entrySet())
                {
                    walk(entry.getKey(), seen);
                    walk(entry.getValue(), seen);
                }
                return;
            }
            if (!object.getClass().getName().startsWith("org.apache.cassandra."))
                return;
            if (object instanceof FunctionName)
            {
                FunctionName function = (FunctionName) object;
                if (function == main)
                    return;
                if (function.hasKeyspace() ? !function.keyspace.equals("system") : !Natives.has(function.name))
                    add("function", function.hasKeyspace() ? function.keyspace : home, function.name);
                return;
            }
            switch (name(object))
            {
                case "CQL3Type$Raw$RawUT":
                {
                    Object type = get(object, "name");
                    String keyspace = text(type, "ksName");
                    add("type", keyspace == null ? home : keyspace, get(type, "utName").toString());
                    return;
                }
                case "CQL3Type$Custom":
                    add("custom-type", null, null);
                    return;
                case "CustomIndexExpression":
                    add("index", home, text(get(object, "targetIndex"), "name"));
                    walk(get(object, "valueRaw"), seen);
                    return;
                case "QualifiedName":
                case "UTName":
                    return;
                default:
            }
            if (instance(object, "AbstractType") || instance(object, "Resource"))
                return;
            for (Field field : fields(object.getClass()))
                walk(field.get(object), seen);
        }
    }

    /** The functions that Cassandra brings along. */
    private static final class Natives
    {
        private static final Map<String, Boolean> KNOWN = new HashMap<>();

        static boolean has(String name)
        {
            return KNOWN.computeIfAbsent(name, Natives::ask);
        }

        private static Boolean ask(String name)
        {
            try
            {
                Class<?> natives = Class.forName("org.apache.cassandra.cql3.functions.NativeFunctions");
                Object instance = natives.getField("instance").get(null);
                FunctionName function = FunctionName.nativeFunction(name);
                for (String method : new String[]{ "getFunctions", "getFactories" })
                {
                    Collection<?> found =
                        (Collection<?>) natives.getMethod(method, FunctionName.class).invoke(instance, function);
                    if (!found.isEmpty())
                        return true;
                }
                return false;
            }
            catch (ReflectiveOperationException e)
            {
                throw new IllegalStateException(e);
            }
        }
    }

    private static final Map<Class<?>, List<Field>> FIELDS = new HashMap<>();

    private static List<Field> fields(Class<?> type)
    {
        return FIELDS.computeIfAbsent(type, wanted -> {
            List<Field> fields = new ArrayList<>();
            for (Class<?> one = wanted; one != null && one != Object.class; one = one.getSuperclass())
                for (Field field : one.getDeclaredFields())
                    if (!Modifier.isStatic(field.getModifiers()) && !field.getType().isPrimitive())
                    {
                        field.setAccessible(true);
                        fields.add(field);
                    }
            return fields;
        });
    }

    private static Object get(Object object, String wanted) throws Exception
    {
        for (Field field : fields(object.getClass()))
            if (field.getName().equals(wanted))
                return field.get(object);
        throw new Unknown(object.getClass().getName() + " has no " + wanted);
    }

    private static boolean has(Object object, String wanted)
    {
        return fields(object.getClass()).stream().anyMatch(field -> field.getName().equals(wanted));
    }

    private static String text(Object object, String field) throws Exception
    {
        Object value = get(object, field);
        return value == null ? null : value.toString();
    }

    private static String name(Object object)
    {
        String name = object.getClass().getName();
        return name.substring(name.lastIndexOf('.') + 1);
    }

    private static boolean instance(Object object, String wanted)
    {
        for (Class<?> one = object.getClass(); one != null; one = one.getSuperclass())
            if (one.getSimpleName().equals(wanted) || one.getName().endsWith(wanted))
                return true;
        return false;
    }
}
