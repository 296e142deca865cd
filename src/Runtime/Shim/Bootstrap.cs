using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd;
using KataLike.Contract.Containerd.Bootstrap;
using KataLike.Runtime.Storage;
using RuntimeOptions = KataLike.Contract.Containerd.RuntimeOptions.Options;

namespace KataLike.Runtime.Shim;

/// <summary>What start learns from its standard input and environment, and the form of the answer that fits.</summary>
/// <remarks>
/// containerd up to 2.2 and CRI-O write nothing or the runtime's options as an Any, and take a plain address (1.6 takes
/// nothing else). containerd 2.3 writes BootstrapParams and takes protobuf. The bytes of an Any can parse as
/// BootstrapParams, so those count only if they repeat the id and namespace of the flags.
/// </remarks>
internal sealed record Bootstrap(bool Protobuf, string TtrpcAddress, string? SocketDirectory, RuntimeOptions? Options)
{
    private const string TtrpcAddressVariable = "TTRPC_ADDRESS";

    public static Bootstrap Parse(byte[] input, ShimArguments arguments, Func<string, string?> environment)
    {
        if (TryParse(BootstrapParams.Parser, input) is { } parameters &&
            parameters.InstanceId == arguments.Id && parameters.Namespace == arguments.Namespace)
        {
            var options = parameters.Extensions.Select(extension => ReadOptions(extension.Value)).FirstOrDefault(o => o is not null);
            var directory = parameters.SocketDir is { Length: > 0 } given ? given : null;
            return new Bootstrap(true, parameters.ContainerdTtrpcAddress, directory, options);
        }
        var any = input.Length > 0 ? TryParse(Any.Parser, input) : null;
        return new Bootstrap(false, environment(TtrpcAddressVariable) ?? "", null, ReadOptions(any));
    }

    /// <summary>What start writes to standard output, and all of it: containerd reads standard error as part of it.</summary>
    public byte[] Answer(string address) => Protobuf
        ? new BootstrapResult { Version = 3, Address = address, Protocol = "ttrpc", Extensions = { new Contract.Containerd.Bootstrap.Extension { Value = Mounts() } } }.ToByteArray()
        : System.Text.Encoding.UTF8.GetBytes(address);

    private static Any Mounts() => TypeUrl.Pack(TypeUrl.MountCapabilities, new MountCapabilities
    {
        Types_ = { LayeredMount.Types },
        Transforms = { LayeredMount.Transforms },
    });

    private static RuntimeOptions? ReadOptions(Any? any) =>
        any?.TypeUrl is { } url && url[(url.LastIndexOf('/') + 1)..] == TypeUrl.RuntimeOptions
            ? TryParse(RuntimeOptions.Parser, any.Value.ToByteArray())
            : null;

    private static T? TryParse<T>(MessageParser<T> parser, byte[] bytes) where T : class, IMessage<T>
    {
        try
        {
            return parser.ParseFrom(bytes);
        }
        catch (InvalidProtocolBufferException)
        {
            return null;
        }
    }
}
