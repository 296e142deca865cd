using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using System.Text.Unicode;

namespace KataLike.Contract.Oci;

/// <summary>JSON of the model in both directions; every error of reading becomes an <see cref="OciException"/>.</summary>
internal static class OciJson
{
    private const int MaxLength = 16 << 20;

    /// <summary>Compact, and for reading.</summary>
    public static OciJsonContext Context { get; } = new(new JsonSerializerOptions(OciJsonContext.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    public static OciJsonContext Tabs => Indented('\t', 1);

    public static OciJsonContext TwoSpaces => Indented(' ', 2);

    public static OciJsonContext FourSpaces => Indented(' ', 4);

    public static T Parse<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> type)
        where T : class
    {
        if (json.Length > MaxLength)
            throw new OciException("$", $"{json.Length} bytes exceed the limit of {MaxLength}");
        if (!Utf8.IsValid(json))
            throw new OciException("$", "not UTF-8");
        try
        {
            return JsonSerializer.Deserialize(json, type) ?? throw new OciException("$", "must be an object");
        }
        catch (JsonException e)
        {
            throw Explain(e);
        }
    }

    public static string Write<T>(T value, JsonTypeInfo<T> type) => JsonSerializer.Serialize(value, type);

    public static byte[] WriteUtf8<T>(T value, JsonTypeInfo<T> type) => JsonSerializer.SerializeToUtf8Bytes(value, type);

    private static OciJsonContext Indented(char character, int size) =>
        new(new JsonSerializerOptions(Context.Options) { WriteIndented = true, IndentCharacter = character, IndentSize = size });

    /// <summary>Says what should be there, where the serializer says which .NET type it wanted.</summary>
    private static OciException Explain(JsonException e)
    {
        string path = e.Path ?? "$";
        string message = e.Message;
        int location = message.IndexOf(" Path: ", StringComparison.Ordinal);
        if (location >= 0)
            message = message[..location];

        const string missing = "missing required properties including: '";
        int name = message.IndexOf(missing, StringComparison.Ordinal);
        if (name >= 0)
        {
            name += missing.Length;
            return new OciException($"{path}.{message[name..message.IndexOf('\'', name)]}", "is missing", e);
        }
        const string conversion = "could not be converted to ";
        int type = message.IndexOf(conversion, StringComparison.Ordinal);
        if (type >= 0)
            return new OciException(path, Expected(message[(type + conversion.Length)..], e.InnerException), e);
        // An inner JsonException is the reader's: not JSON at all, so the line helps more than the path.
        return new OciException(
            path, e.InnerException is JsonException ? $"{message.TrimEnd('.')} (line {e.LineNumber + 1})" : message, e);
    }

    private static string Expected(string type, Exception? cause)
    {
        // For values, only the cause tells what was due: the type is that of the object around them.
        if (cause is not null)
        {
            return cause.Message.Contains("boolean", StringComparison.Ordinal) ? "must be true or false"
                : cause.Message.Contains("DateTime", StringComparison.Ordinal) ? "must be a time"
                : "must be a whole number within its range";
        }
        return type.Contains("IReadOnlyList", StringComparison.Ordinal) ? "must be an array" : "must be an object";
    }
}

/// <summary>Strings of the specification reach system calls: none may hold a NUL, and none is null.</summary>
internal sealed class OciStringConverter : JsonConverter<string>
{
    public override bool HandleNull => true;

    public override string Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String
            ? WithoutNul(reader.GetString()!)
            : throw new JsonException("must be a string");

    public override string ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        WithoutNul(reader.GetString()!);

    public override void Write(Utf8JsonWriter writer, string value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value);

    public override void WriteAsPropertyName(Utf8JsonWriter writer, string value, JsonSerializerOptions options) =>
        writer.WritePropertyName(value);

    private static string WithoutNul(string value) =>
        value.Contains('\0') ? throw new JsonException("must not contain a NUL character") : value;
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault,
    GenerationMode = JsonSourceGenerationMode.Metadata,
    Converters = [typeof(OciStringConverter)])]
[JsonSerializable(typeof(Spec))]
[JsonSerializable(typeof(ProcessSpec))]
[JsonSerializable(typeof(Resources))]
[JsonSerializable(typeof(State))]
[JsonSerializable(typeof(Features))]
internal sealed partial class OciJsonContext : JsonSerializerContext;
