using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KataLike.Contract.Oci;

namespace KataLike.Contract.Tests.Oci;

/// <summary>The JSON that we write.</summary>
public sealed partial class SpecJsonTests
{
    [GeneratedRegex("(?<=\"ociVersion\": \")[^\"]+")]
    private static partial Regex Version();

    /// <summary>But for the specification's version, which is another with each runc: ours is that of 1.1.</summary>
    [SkippableFact]
    public void DefaultIsByteForByteWhatRuncPrints()
    {
        Skip.IfNot(File.Exists("/usr/sbin/runc"), "runc is not installed");
        string bundle = Directory.CreateTempSubdirectory("katalike-").FullName;
        try
        {
            using var runc = Process.Start("/usr/sbin/runc", ["spec", "--bundle", bundle]);
            runc.WaitForExit();
            var ours = Spec.Default();
            Assert.Equal("1.0.2-dev", ours.OciVersion);
            Assert.Equal(Version().Replace(File.ReadAllText(Path.Combine(bundle, "config.json")), ours.OciVersion, 1), ours.ToJson());
        }
        finally
        {
            Directory.Delete(bundle, recursive: true);
        }
    }

    /// <summary>Every field of the specification: read, written, and still all there.</summary>
    [Fact]
    public void EveryFieldSurvivesARoundTrip()
    {
        byte[] full = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Oci", "full-config.json"));
        string written = Spec.Parse(full).ToJson();
        Assert.True(
            JsonNode.DeepEquals(JsonNode.Parse(full), JsonNode.Parse(written)), $"what came back differs:\n{written}");
    }

    [Fact]
    public void StateIsWrittenAsRuncDoes()
    {
        var state = new State
        {
            OciVersion = "1.0.2-dev",
            Id = "c1",
            Status = "stopped",
            Bundle = "/b<1>",
            Rootfs = "/b/rootfs",
            Created = new DateTimeOffset(2026, 11, 21, 3, 42, 0, TimeSpan.Zero),
            Annotations = new Dictionary<string, string> { ["a.B"] = "c" },
        };
        Assert.Equal(
            """
            {
              "ociVersion": "1.0.2-dev",
              "id": "c1",
              "pid": 0,
              "status": "stopped",
              "bundle": "/b<1>",
              "rootfs": "/b/rootfs",
              "created": "2026-11-21T03:42:00+00:00",
              "annotations": {
                "a.B": "c"
              }
            }
            """,
            state.ToJson());
        Assert.DoesNotContain('\n', Encoding.UTF8.GetString(state.ToUtf8Json()));
    }

    [Fact]
    public void FeaturesTellNoFromUnknown()
    {
        var features = new Features
        {
            OciVersionMax = "1.3.0",
            Linux = new LinuxFeatures { Selinux = new Feature { Enabled = false }, Cgroup = new CgroupFeatures { V2 = true } },
        };
        Assert.Equal(
            """
            {
                "ociVersionMax": "1.3.0",
                "linux": {
                    "cgroup": {
                        "v2": true
                    },
                    "selinux": {
                        "enabled": false
                    }
                }
            }
            """,
            features.ToJson());
    }
}
