using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using System.Text.Unicode;

namespace KataLike.Contract.Oci;

/// <summary>JSON of the model: read by <see cref="OciNode"/>, written by the serializer.</summary>
internal static class OciJson
{
    private const int MaxLength = 16 << 20;

    /// <summary>Writes on one line.</summary>
    public static OciJsonContext Compact { get; } = new(new JsonSerializerOptions(OciJsonContext.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    public static OciJsonContext Tabs => Indented('\t', 1);

    public static OciJsonContext TwoSpaces => Indented(' ', 2);

    public static OciJsonContext FourSpaces => Indented(' ', 4);

    /// <exception cref="OciException">The document is too large or deep, not UTF-8, not JSON, or not what it should hold.</exception>
    public static T Parse<T>(ReadOnlySpan<byte> json, OciNode.Reader<T> read)
    {
        if (json.Length > MaxLength)
            throw new OciException("$", $"{json.Length} bytes exceed the limit of {MaxLength}");
        if (!Utf8.IsValid(json))
            throw new OciException("$", "not UTF-8");
        try
        {
            var reader = new Utf8JsonReader(json);
            using var document = JsonDocument.ParseValue(ref reader);
            // What follows the document is an error too.
            _ = reader.Read();
            return read(new OciNode(document.RootElement, "$").AsObject());
        }
        catch (JsonException e)
        {
            throw NotJson(e);
        }
    }

    public static string Write<T>(T value, JsonTypeInfo<T> type) => JsonSerializer.Serialize(value, type);

    public static byte[] WriteUtf8<T>(T value, JsonTypeInfo<T> type) => JsonSerializer.SerializeToUtf8Bytes(value, type);

    private static OciException NotJson(JsonException e)
    {
        int location = e.Message.IndexOf(" LineNumber: ", StringComparison.Ordinal);
        string message = location < 0 ? e.Message : e.Message[..location];
        return new OciException("$", $"{message.TrimEnd('.')} (line {e.LineNumber + 1})", e);
    }

    private static OciJsonContext Indented(char character, int size) =>
        new(new JsonSerializerOptions(Compact.Options) { WriteIndented = true, IndentCharacter = character, IndentSize = size });
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault,
    GenerationMode = JsonSourceGenerationMode.Metadata)]
[JsonSerializable(typeof(Spec))]
[JsonSerializable(typeof(ProcessSpec))]
[JsonSerializable(typeof(Resources))]
[JsonSerializable(typeof(State))]
[JsonSerializable(typeof(Features))]
internal sealed partial class OciJsonContext : JsonSerializerContext;
