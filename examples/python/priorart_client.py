"""A PriorArt client that knows nothing but the port: messages and methods come from server reflection."""

import hashlib

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

CHUNK = 256 * 1024


class Client:
    def __init__(self, target):
        self.channel = grpc.insecure_channel(target)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def services(self):
        return sorted(self.database.get_services())

    def message(self, name):
        """The class of a message, for instance message("RestoreRequest")."""
        full = name if "." in name else "priorart.v1." + name
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full))

    def enum(self, name, value):
        return self.pool.FindEnumTypeByName("priorart.v1." + name).values_by_name[value].number

    def method(self, service, name):
        """A callable for a method, for instance method("CatalogService", "ListSolvers")."""
        full = service if "." in service else "priorart.v1." + service
        described = self.pool.FindServiceByName(full).methods_by_name[name]
        streams = ("stream" if described.client_streaming else "unary") + "_" + (
            "stream" if described.server_streaming else "unary"
        )
        return getattr(self.channel, streams)(
            f"/{full}/{name}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
        )

    def upload(self, data, offset=0, stop_after=None):
        """Sends bytes in chunks; returns the reference to use in requests. stop_after breaks off, to show resuming."""
        request = self.message("UploadRequest")
        digest = hashlib.sha256(data).hexdigest()

        def parts():
            yield request(header={"sha256": digest, "size": len(data), "offset": offset})
            for at in range(offset, len(data), CHUNK):
                if stop_after is not None and at >= stop_after:
                    raise ConnectionError("broken off")
                yield request(chunk=data[at : at + CHUNK])

        return self.method("ArtifactService", "Upload")(parts(), timeout=60).artifact

    def download(self, artifact):
        request = self.message("DownloadRequest")(artifact=artifact)
        return b"".join(part.chunk for part in self.method("ArtifactService", "Download")(request, timeout=60))

    def bytes(self, image):
        return self.download(image.artifact) if image.HasField("artifact") else image.data

    def restore(self, request, timeout=600):
        return self.method("RestorationService", "Restore")(request, timeout=timeout)


def details(error):
    """The google.rpc details of a failed call, by type name."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            found = {}
            for packed in status_pb2.Status.FromString(value).details:
                name = packed.type_url.rsplit(".", 1)[-1]
                found[name] = getattr(error_details_pb2, name).FromString(packed.value)
            return found
    return {}
