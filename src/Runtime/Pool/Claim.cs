using System.Text.Json;
using System.Text.Json.Serialization;
using KataLike.Linux;

namespace KataLike.Runtime.Pools;

/// <summary>What a process of the pool is told when it is to be a sandbox: what it would have been started with otherwise.</summary>
/// <param name="Arguments">From "katalike" on.</param>
/// <param name="Environment">KEY=VALUE.</param>
/// <param name="Numbers">Those by which the arguments name the open files that come along; 2 is its standard error.</param>
/// <param name="Cgroups">The caller's /proc/self/cgroup, in which the process would have been born.</param>
internal sealed record Claim(
    IReadOnlyList<string> Arguments, IReadOnlyList<string> Environment, IReadOnlyList<int> Numbers, IReadOnlyList<string> Cgroups)
{
    private const int MaxLength = 64 << 10;
    private const byte End = (byte)'\n';

    /// <summary>One line of JSON; the descriptors come with its first byte.</summary>
    /// <returns>False: the peer is gone, or it is too much for a line.</returns>
    public bool Send(FileDescriptor socket, ReadOnlySpan<FileDescriptor> files)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(this, ClaimJson.Default.Claim), End];
        return line.Length <= MaxLength && UnixSockets.TrySend(socket, line, files, wait: true) == line.Length;
    }

    /// <summary>Waits for one; null: the peer has gone without.</summary>
    /// <param name="files">Gets the descriptors, in the order of the numbers.</param>
    /// <exception cref="RuntimeException">It is no claim.</exception>
    public static Claim? Receive(FileDescriptor socket, List<FileDescriptor> files)
    {
        var buffer = new byte[MaxLength];
        var length = 0;
        while (length == 0 || buffer[length - 1] != End)
        {
            if (length == buffer.Length)
                throw new RuntimeException("pool: a claim is too long");
            var count = UnixSockets.TryReceive(socket, buffer.AsSpan(length), files, wait: true);
            if (count <= 0)
                return null;
            length += (int)count;
        }
        try
        {
            if (JsonSerializer.Deserialize(buffer.AsSpan(0, length - 1), ClaimJson.Default.Claim) is { } claim && claim.Numbers.Count == files.Count)
                return claim;
        }
        catch (JsonException)
        {
        }
        throw new RuntimeException("pool: a claim cannot be read");
    }
}

[JsonSerializable(typeof(Claim))]
[JsonSourceGenerationOptions(RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
internal sealed partial class ClaimJson : JsonSerializerContext;
