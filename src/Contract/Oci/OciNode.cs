using System.Text.Json;

namespace KataLike.Contract.Oci;

/// <summary>A value of a document that is being read, and where it stands. null counts as absent, as it does for runc.</summary>
/// <remarks>
/// Read by hand: the serializer's metadata costs the agent 200 ms of an emulated processor before its first document,
/// and its errors name types of .NET.
/// </remarks>
internal sealed class OciNode(JsonElement element, string path)
{
    public delegate T Reader<out T>(OciNode node);

    private delegate bool Number<T>(JsonElement element, out T value);

    public string? Text(string name) => Find(name) is { } child ? child.AsText() : null;

    public string RequiredText(string name) => Text(name) ?? throw new OciException($"{path}.{name}", "is missing");

    public bool Flag(string name) => OptionalFlag(name) ?? false;

    public bool? OptionalFlag(string name) => Find(name) is { } child ? child.AsFlag() : null;

    public int? Int32(string name) => AsNumber(name, static (JsonElement value, out int number) => value.TryGetInt32(out number));

    public uint? UInt32(string name) => AsNumber(name, static (JsonElement value, out uint number) => value.TryGetUInt32(out number));

    public ushort? UInt16(string name) => AsNumber(name, static (JsonElement value, out ushort number) => value.TryGetUInt16(out number));

    public long? Int64(string name) => AsNumber(name, static (JsonElement value, out long number) => value.TryGetInt64(out number));

    public ulong? UInt64(string name) => AsNumber(name, static (JsonElement value, out ulong number) => value.TryGetUInt64(out number));

    public T? Object<T>(string name, Reader<T> read)
        where T : class =>
        Find(name) is { } child ? read(child.AsObject()) : null;

    public IReadOnlyList<T>? Objects<T>(string name, Reader<T> read) => Find(name)?.Items(node => read(node.AsObject()));

    public IReadOnlyList<string>? Texts(string name) => Find(name)?.Items(static node => node.AsText());

    public IReadOnlyList<uint>? UInt32s(string name) => Find(name)?.Items(static node =>
        node.Element.ValueKind == JsonValueKind.Number && node.Element.TryGetUInt32(out uint number) ? number : throw node.NotANumber());

    public IReadOnlyDictionary<string, T>? Map<T>(string name, Reader<T> read) => Find(name)?.Entries(node => read(node.AsObject()));

    public IReadOnlyDictionary<string, string>? TextMap(string name) => Find(name)?.Entries(static node => node.AsText());

    public OciNode AsObject() => Element.ValueKind == JsonValueKind.Object ? this : throw Wrong("must be an object");

    private JsonElement Element => element;

    private OciNode? Find(string name) =>
        element.TryGetProperty(name, out var child) && child.ValueKind != JsonValueKind.Null
            ? new OciNode(child, $"{path}.{name}")
            : null;

    private T? AsNumber<T>(string name, Number<T> read)
        where T : struct =>
        Find(name) is not { } child ? null
        : child.Element.ValueKind == JsonValueKind.Number && read(child.Element, out var number) ? number
        : throw child.NotANumber();

    private bool AsFlag() => element.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Wrong("must be true or false"),
    };

    /// <summary>Strings of the specification reach system calls: none may hold a NUL.</summary>
    private string AsText()
    {
        if (element.ValueKind != JsonValueKind.String)
            throw Wrong("must be a string");
        string text;
        try
        {
            text = element.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Wrong("holds half of a surrogate pair");
        }
        return text.Contains('\0') ? throw Wrong("must not contain a NUL character") : text;
    }

    private List<T> Items<T>(Reader<T> read)
    {
        if (element.ValueKind != JsonValueKind.Array)
            throw Wrong("must be an array");
        var items = new List<T>(element.GetArrayLength());
        foreach (var item in element.EnumerateArray())
            items.Add(read(new OciNode(item, $"{path}[{items.Count}]")));
        return items;
    }

    private Dictionary<string, T> Entries<T>(Reader<T> read)
    {
        var entries = new Dictionary<string, T>();
        foreach (var entry in AsObject().Element.EnumerateObject())
        {
            string key;
            try
            {
                key = entry.Name;
            }
            catch (InvalidOperationException)
            {
                throw Wrong("has a key with half of a surrogate pair");
            }
            if (key.Contains('\0'))
                throw Wrong("must not have a key with a NUL character");
            entries[key] = read(new OciNode(entry.Value, $"{path}['{key}']"));
        }
        return entries;
    }

    private OciException NotANumber() => Wrong("must be a whole number within its range");

    private OciException Wrong(string reason) => new(path, reason);
}
